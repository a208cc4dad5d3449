"""Look at a study: a table, a report, and files for other programs."""

import hpsearch
from hpsearch import Categorical, Float, report


def objective(trial):
    return (trial["x"] - 2) ** 2 + (0 if trial["kind"] == "good" else 1)


study = hpsearch.search(
    objective,
    {"x": Float(-10, 10), "kind": Categorical(["good", "bad"])},
    backend="random",
    n_trials=20,
    seed=1,
    storage="study.db",
)

study = hpsearch.load("study.db")  # now or later, here or in another program
print(study.table())
report.write(study, "study.html")
study.to_json("study.json")
study.to_csv("study.csv")
