"""Compares the cached value of every formula of a workbook with a recalculated copy of it.

Equal means to 0.0001 of what is shown (万m³): averages are cached rounded, as they are printed.
"""

import re
import sys
import xml.etree.ElementTree as ET
import zipfile

NS = {"m": "http://schemas.openxmlformats.org/spreadsheetml/2006/main"}


def cells(path):
    """(sheet number, cell) -> (formula or None, number or None)"""
    out = {}
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if re.fullmatch(r"xl/worksheets/sheet\d+\.xml", n)]
        for name in sorted(names, key=lambda n: int(re.search(r"\d+", n.rsplit("/", 1)[1]).group())):
            sheet = int(re.search(r"(\d+)\.xml", name).group(1))
            for cell in ET.fromstring(archive.read(name)).iterfind(".//m:c", NS):
                formula = cell.find("m:f", NS)
                value = cell.find("m:v", NS)
                number = None
                if value is not None and cell.get("t") in (None, "n"):
                    number = float(value.text)
                out[sheet, cell.get("r")] = (None if formula is None else formula.text, number)
    return out


ours, theirs = cells(sys.argv[1]), cells(sys.argv[2])
formulas = {key: number for key, (formula, number) in ours.items() if formula is not None and number is not None}
if not formulas:
    sys.exit(f"{sys.argv[1]}: no formula found; totals must be live")
wrong = []
for key, cached in formulas.items():
    found = theirs.get(key, (None, None))[1]
    if found is None or abs(found - cached) > 5.1e-5:
        wrong.append(f"sheet {key[0]} {key[1]}: cached {cached}, recalculated {found}")
if wrong:
    sys.exit(f"{sys.argv[1]}: {len(wrong)} of {len(formulas)} formulas differ:\n" + "\n".join(wrong[:20]))
print(f"{sys.argv[1]}: {len(formulas)} formulas recalculate to what is cached")
