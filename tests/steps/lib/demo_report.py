"""Checks the report of the demo, a JSON file, and prints its numbers."""

import json
import sys


def main(path):
    """Returns what is wrong with the report, or None."""
    with open(path, encoding="utf-8") as file:
        report = json.load(file)

    def number(name):
        value = report[name]
        return len(value) if isinstance(value, (dict, list)) else int(value)

    inputs, executed = number("inputs"), number("executed")
    verified, forged, lost = number("results_verified"), number("forged_executed"), number("lost")
    attacks, stopped = number("attacks"), sum(attack["stopped"] for attack in report["attacks"])
    print(f"inputs {inputs}, executed {executed}, results_verified {verified}, forged_executed {forged}, lost {lost}")
    print(f"attacks {attacks}, stopped {stopped}")
    checks = (
        (inputs > 0, "the demo enqueued no task"),
        (executed == inputs, "not every task was executed exactly once"),
        (verified == inputs, "not every result was verified"),
        (forged == 0, "a forged task was executed"),
        (lost == 0, "a task was lost"),
        (attacks >= 12, "fewer than 12 attacks were tried"),
        (stopped == attacks, "an attack was not stopped by the check that must stop it"),
    )
    return "; ".join(complaint for holds, complaint in checks if not holds) or None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
