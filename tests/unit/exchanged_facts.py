"""Sentences that documents bear out, each beside one in which a single fact was exchanged."""

DOCUMENTS = [
    "The ferry to Aldra leaves Port Ness at 8:15 every Friday. Tickets cost 24 euros for adults and 11 for children. "
    "Captain Ines Moreau has commanded it since 2009.",
    "Dogs are not allowed in the restaurant. The crossing takes three hours in calm weather. "
    "In winter the ferry calls at Skarn, where Olof Brandt runs the pier.",
]
FACTS_AND_SWAPS = [
    ("The ferry leaves Port Ness at 8:15 every Friday.", "The ferry leaves Port Ness at 8:15 every Monday."),
    ("Tickets cost 24 euros for adults.", "Tickets cost 42 euros for adults."),
    ("Ines Moreau has commanded the ferry since 2009.", "Olof Brandt has commanded the ferry since 2009."),
    ("The crossing takes three hours.", "The crossing takes three days."),
    ("Tickets cost 11 euros for children.", "Tickets cost 24 euros for children."),
    ("The ferry calls at Skarn in winter.", "The ferry calls at Skarn in summer."),
    ("Dogs are not allowed in the restaurant.", "Dogs are allowed in the restaurant."),
    ("Olof Brandt runs the pier at Skarn.", "Olof Brandt runs the pier at Aldra."),
]
