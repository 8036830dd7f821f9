"""The probe finds what is known to be there, as simple as it can be, and nothing else."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier

from servable.checks.probe.probe import probe
from servable.checks.replay import replay
from servable.checks.subject import Subject
from servable.rules.guard import Guard
from tests.checks.models import cancer, flowers, packed, passengers
from tests.checks.probe.odd import odd, rows


@pytest.fixture(scope="module")
def oddities(tmp_path_factory):
    model = odd(tmp_path_factory.mktemp("odd") / "odd")
    return probe(model, rows(model))


def by_kind(whole, kind):
    return {finding.columns: finding for finding in whole.findings if finding.kind == kind}


def test_where_it_turns_to_nan_with_the_value_from_which_on(oddities):
    extreme = by_kind(oddities, "extreme")["age",]
    assert extreme.what == "is not finite"
    assert extreme.after == "nan"
    assert extreme.start == pytest.approx(120, rel=0.15)
    assert extreme.rule is not None
    assert 90 < extreme.rule.high < 120


def test_where_it_fails(oddities):
    strange = by_kind(oddities, "unseen category")["region",]
    assert strange.what == "fails"
    assert strange.after == "no answer"
    assert set(strange.rule.allowed) == {"north", "south"}


def test_where_it_runs_away(oddities):
    assert by_kind(oddities, "huge")["income",].what == "runs away"
    income = by_kind(oddities, "wrong unit")["income",]
    assert income.what == "runs away"
    assert income.told == "× 1000"


def test_where_it_jumps(oddities):
    jump = by_kind(oddities, "small change")["debt",]
    row, base = oddities.ground.row(jump.row), oddities.ground.row(jump.base)
    assert abs(row["debt"] - base["debt"]) < 5
    assert (row["debt"] > 500) != (base["debt"] > 500)


def test_what_does_not_matter_is_not_found(oddities):
    alone = [finding.columns for finding in oddities.findings if finding.kind != "swapped columns"]
    assert ("calm",) not in alone


def test_the_worst_comes_first(oddities):
    assert oddities.findings[0].what == "fails"
    ranks = [finding.rank for finding in oddities.findings]
    assert ranks == sorted(ranks)


def test_a_finding_is_shrunk_towards_the_typical_row(oddities):
    for finding in oddities.findings:
        unlike = set(finding.evidence(oddities.ground)["unlike_typical"])
        if finding.kind in {"extreme", "huge", "unseen category", "boundary"}:
            assert unlike <= set(finding.columns)


def test_answers_that_depend_on_other_rows(tmp_path):
    model = odd(tmp_path / "odd", company=50.0)
    assert "depends on other rows" in {finding.what for finding in probe(model, rows(model)).findings}


def test_a_single_tree_jumps_and_the_fewest_columns_are_named():
    data = load_breast_cancer(as_frame=True)
    tree = packed("tree", DecisionTreeClassifier(random_state=0), data.data, data.target.astype(str), "y")
    small = by_kind(probe(tree.subject, tree.examples), "small change")
    assert small
    assert all(finding.what == "jumps" and len(finding.columns) <= 3 for finding in small.values())


def test_a_line_runs_away_from_where_its_data_end():
    data = load_diabetes(as_frame=True)
    line = packed("line", LinearRegression(), data.data, data.target, "y")
    away = [finding for finding in probe(line.subject, line.examples).findings if finding.what == "runs away"]
    assert away
    for finding in away:
        if finding.start is not None:
            known = line.kept[finding.columns[0]]
            assert finding.start > known.max() or finding.start < known.min()


def test_real_models_with_missing_and_text():
    whole = probe(passengers().subject)
    kinds = {finding.kind for finding in whole.findings}
    assert {"missing", "wrong unit", "unseen category", "extreme"} <= kinds
    fare = by_kind(whole, "wrong unit")["Fare",]
    assert list(fare.evidence(whole.ground)["unlike_typical"]) == ["Fare"]
    sex = by_kind(whole, "unseen category")["Sex",]
    assert sex.rule.allowed == ("male", "female")


def test_offered_rules_keep_the_findings_from_the_model():
    """With the rules in place, the same probe finds nothing of what they guard."""
    real = passengers()
    whole = probe(real.subject)
    bundle = real.bundle
    model = real.subject
    guarded = Subject("passengers:1", bundle, model.model, 0.0, Guard(whole.rules(), bundle.signature))
    left = probe(guarded)
    had = {(finding.kind, finding.columns) for finding in whole.findings if finding.rule is not None}
    assert had
    assert had & {(finding.kind, finding.columns) for finding in left.findings} == set()
    assert sum(asked.kept_out for asked in left.asked.values()) > 1000


def test_a_weak_region_that_history_knows():
    """Women in third class: half of them died, and the model, which is not told the class, says that they lived."""
    real = passengers()
    whole = probe(real.subject, real.examples)
    (verdict,) = [verdict for verdict in whole.verdicts() if verdict.check == "weak regions"]
    assert not verdict.passed
    assert any({'Sex == "female"', "Pclass == 3"} == set(region.text.split(" and ")) for region in whole.regions[:3])
    worst = whole.regions[0]
    assert worst.error > 1.5 * worst.elsewhere
    assert worst.rule().when == worst.text
    assert min(region.rows for region in whole.regions) >= 20


def test_no_region_is_weak_where_errors_are_chance():
    """Over 40 seeds: the share of runs that call anything weak stays near the level."""
    from servable.checks.probe.regions import weak_regions

    examples = passengers().examples
    random = np.random.default_rng(0)
    called = [bool(weak_regions(examples, (random.random(len(examples)) < 0.2).astype(float))) for _ in range(40)]
    assert np.mean(called) <= 0.1


def test_a_good_model_passes_what_it_is_good_at():
    verdicts = {verdict.check: verdict for verdict in probe(cancer().subject, cancer().examples).verdicts()}
    assert verdicts["duplicated"].passed
    assert verdicts["huge"].passed
    assert verdicts["small change"].numbers["asked"] > 5000


def test_the_same_again_and_as_json():
    one, other = (probe(flowers().subject, flowers().examples, seed=3).verdicts() for _ in range(2))
    assert one == other
    assert msgspec.json.decode(msgspec.json.encode(one)) == msgspec.to_builtins(one)


def test_findings_become_cases_that_show_them_again(oddities, tmp_path):
    model = odd(tmp_path / "odd")
    cases = [finding.case(oddities.ground) for finding in oddities.findings]
    verdict = replay(cases, model)
    assert not verdict.passed
    assert {failed["must_pass"] for failed in verdict.evidence["failed"]} == {True, False}
    wrong = {case.id for case in cases if case.must_pass}
    assert wrong == {failed["id"] for failed in verdict.evidence["failed"] if failed["must_pass"]}
