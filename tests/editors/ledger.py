"""Two files of a small workspace: one to be retrieved, and one that is being written."""

LEDGER = """class Ledger:
    def post_entry(self, account, amount):
        self.entries.append((account, amount))
"""
REPORT = """from ledger import Ledger


def monthly(ledger: Ledger) -> None:
    for account in ledger.accounts:
"""
