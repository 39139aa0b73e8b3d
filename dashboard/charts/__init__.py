"""Figures: pure functions from tables to Plotly figures and ECharts options. Times are naive local times."""
