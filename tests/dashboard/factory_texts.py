"""What people ask the factory's bank, and what it knows."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """One topic: how it is asked, the document that answers it, the right answer and an invented sentence."""

    label: str
    weight: float
    questions: tuple[str, ...]
    document: str
    answer: str
    invented: str


SUBJECTS = (
    Subject(
        "Card limits",
        16,
        (
            "What is the daily limit of my debit card?",
            "Can I raise the limit of my card?",
            "Why was my payment above the limit?",
        ),
        "Debit cards have a daily limit of 2,000 euros for payments and 500 euros for cash. Limits can be changed"
        " in the app"
        " under Cards, and take effect at once.",
        "The daily limit of a debit card is 2,000 euros for payments and 500 euros for cash. You can change it in"
        " the app under"
        " Cards.",
        "Premium customers may exceed the limit by up to 50 percent without asking.",
    ),
    Subject(
        "International transfers",
        14,
        (
            "How long does a transfer to Poland take?",
            "What does a transfer abroad cost?",
            "Which details do I need for SWIFT?",
        ),
        "Transfers within the single euro payments area arrive on the next business day and are free. Other"
        " transfers cost 0.15"
        " percent, at least 10 euros.",
        "Transfers within the euro payments area arrive on the next business day and are free. Others cost 0.15"
        " percent, at"
        " least 10 euros.",
        "Transfers above 5,000 euros are refunded their fee after 30 days.",
    ),
    Subject(
        "Lost or stolen card",
        11,
        ("I lost my card, what now?", "How do I block a stolen card?", "My wallet was stolen this morning"),
        "A lost card can be blocked day and night in the app or by calling 116 116. A replacement arrives within three"
        " business days and costs nothing.",
        "Block the card in the app or call 116 116, day and night. A replacement arrives within three business days.",
        "You will be compensated for all payments made before the call.",
    ),
    Subject(
        "Mortgage rates",
        9,
        ("What is the rate for a ten year mortgage?", "Can I repay my mortgage early?", "How much equity do I need?"),
        "Mortgages need at least 10 percent of equity. Special repayments of up to 5 percent of the loan are free"
        " once a year.",
        "You need at least 10 percent of equity. Once a year, up to 5 percent of the loan can be repaid free of"
        " charge.",
        "The current rate for ten years is 2.9 percent for all customers.",
    ),
    Subject(
        "Opening an account",
        9,
        ("How do I open an account?", "Which papers do I need for an account?", "Can I open an account for my child?"),
        "An account is opened online with an identity card and a video call of about ten minutes. Accounts for"
        " minors need both"
        " parents.",
        "You open an account online with your identity card and a video call of about ten minutes.",
        "The first year comes with a bonus of 100 euros.",
    ),
    Subject(
        "Online access",
        8,
        ("I forgot my password", "The app does not accept my PIN", "How do I register a new phone?"),
        "A new phone is registered with the activation letter. A PIN that was entered wrongly three times is reset"
        " in a branch"
        " or by letter.",
        "Register the new phone with your activation letter. A blocked PIN is reset in a branch or by letter.",
        "Support can also reset the PIN by telephone if you know your birthday.",
    ),
    Subject(
        "Fees and statements",
        8,
        ("Why was I charged 4.90 euros?", "Where do I find my statements?", "Is the account free of charge?"),
        "The account costs 4.90 euros a month, and nothing with an income of 700 euros a month. Statements are kept"
        " for ten"
        " years in the mailbox.",
        "The account costs 4.90 euros a month and is free with an income of 700 euros a month. Statements are in"
        " your mailbox.",
        "Students pay nothing until they turn 30.",
    ),
    Subject(
        "Standing orders",
        6,
        (
            "How do I change a standing order?",
            "Stop my standing order for the rent",
            "When is a standing order carried out?",
        ),
        "Standing orders are changed in the app until the evening before. On weekends they are carried out on the"
        " next business"
        " day.",
        "You can change a standing order in the app until the evening before. On weekends it runs on the next"
        " business day.",
        "A standing order that fails is tried again for five days.",
    ),
    Subject(
        "Staff: parental leave",
        5,
        ("How many weeks of parental leave do I get?", "When must I announce parental leave?"),
        "Employees announce parental leave seven weeks before it begins. It can be split into three periods.",
        "Announce parental leave seven weeks before it begins. You can split it into three periods.",
        "The bank pays full salary for the first twelve weeks.",
    ),
    Subject(
        "Staff: travel expenses",
        4,
        ("What may a hotel cost on a business trip?", "How do I hand in travel expenses?"),
        "Hotels may cost up to 120 euros a night. Expenses are handed in within four weeks with receipts.",
        "Hotels may cost up to 120 euros a night. Hand in your expenses within four weeks, with receipts.",
        "Breakfast is covered at 25 euros a day.",
    ),
    Subject(
        "Savings and interest",
        4,
        ("What interest does the savings account pay?", "Is my money protected?"),
        "Savings are protected up to 100,000 euros. Interest is paid at the end of each quarter.",
        "Your savings are protected up to 100,000 euros. Interest is paid at the end of each quarter.",
        "The savings account pays 3.4 percent a year.",
    ),
    Subject(
        "Card frozen abroad",
        0,
        (
            "My card is frozen in Portugal, why?",
            "Card declined abroad although there is money",
            "The bank froze my card on holiday",
            "Why is my card blocked in Spain?",
        ),
        "Payments abroad can be refused by the fraud filter. Travel can be announced in the app under Cards, Travel.",
        "Announce your travel in the app under Cards, Travel.",
        "Your card is released automatically after two hours. You can also send a text message with the word UNLOCK"
        " to 80 80.",
    ),
)

HOSTILE = (
    "<script>window.pwned = 1</script> **not bold** [link](javascript:alert(1)) $x^2$"
    " <img src=x onerror=alert(1)> & more"
)
