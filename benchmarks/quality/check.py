"""x"""

from pathlib import Path

REFERENCE = Path(__file__).with_name("reference.json")
