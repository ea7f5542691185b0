"""Compares the declaration with the API's totals of the same forecast run, class by class, in m³.

usage: agree.py http://127.0.0.1:PORT YYYY-MM
"""

import json
import sys
import urllib.request

base, month = sys.argv[1:3]


def ask(path, method="GET"):
    return json.load(urllib.request.urlopen(urllib.request.Request(f"{base}/api/v1/{path}", method=method)))


for _ in range(5):
    made = ask(f"declarations/{month}", "POST")
    totals = ask(f"totals?month={month}")
    # A new run may be published between the two questions.
    if made["forecast_run"] == totals["run_id"]:
        break
else:
    sys.exit("the forecast run changed between the questions, five times")

classes = {line["class"]: line["forecast"]["p50_m3"] for line in made["structure"]}
loss = classes.pop("unaccounted")
# What is carried for others is forecast, but not bought.
for line in made.get("carried", []):
    classes[line["class"]] = classes.get(line["class"], 0) + line["p50_m3"]
carried = sum(line["p50_m3"] for line in made.get("carried", []))
views = {name: sum(totals[name].values()) for name in ("by_source", "by_class", "by_slot")}
total = totals["forecast_total_m3"]
wrong = [f"{name}: {value}, total {total}" for name, value in views.items() if value != total]
wrong += [
    f"{name}: sheet {classes.get(name, 0)}, API {totals['by_class'].get(name, 0)}"
    for name in sorted({*classes, *totals["by_class"]})
    if classes.get(name, 0) != totals["by_class"].get(name, 0)
]
bought = made["total"]["forecast"]["p50_m3"]
if total + loss - carried != bought:
    wrong.append(f"total {total} and loss {loss} less {carried} carried are not what is bought, {bought}")
if wrong:
    sys.exit("\n".join(wrong))
print(f"sheets and API agree to 1 m³: {total} used + {loss} loss - {carried} carried = {bought} m³")
