"""The Streamlit app: reads the store, draws it, and writes what people decide."""
