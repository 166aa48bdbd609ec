"""Design columns, contrasts and partitions, from their definitions."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest

from bayesexpr.data.contrast import slug
from bayesexpr.data.design import Design, build_design
from bayesexpr.data.partitions import level_partitions, set_partitions
from bayesexpr.distributions import sum_to_zero_basis
from bayesexpr.errors import DesignError


def crossed(**levels: list[str] | int) -> pd.DataFrame:
    """Return a table with every combination of the given levels, `copies` times."""
    copies = levels.pop("copies", 1)
    assert isinstance(copies, int)
    rows = [*product(*(value for value in levels.values() if isinstance(value, list)))] * copies
    return pd.DataFrame(rows, columns=list(levels), index=[f"s{i}" for i in range(len(rows))])


@pytest.fixture
def airway_like() -> pd.DataFrame:
    return crossed(cell=["A", "B", "C", "D"], dex=["trt", "untrt"])


def effects(design: Design, coefficients: np.ndarray) -> np.ndarray:
    return design.matrix @ coefficients


def test_two_levels_are_half_apart() -> None:
    design = build_design("~ dex", crossed(dex=["trt", "untrt"], copies=3))
    assert design.column_names == ("dex[1]",)
    np.testing.assert_allclose(design.matrix[:, 0], [-0.5, 0.5] * 3)
    np.testing.assert_array_equal(design.contrast("dex,trt,untrt").weights, [-1.0])
    np.testing.assert_array_equal(design.contrast(("dex", "untrt", "trt")).weights, [1.0])


@pytest.mark.parametrize("size", [2, 3, 4, 7])
def test_basis_is_orthonormal_and_sums_to_zero(size: int) -> None:
    basis = sum_to_zero_basis(size)
    np.testing.assert_allclose(basis.T @ basis, np.eye(size - 1), atol=1e-14)
    np.testing.assert_allclose(basis.sum(axis=0), 0.0, atol=1e-14)


@pytest.mark.parametrize("size", [2, 3, 4, 6])
def test_every_pair_of_levels_has_unit_norm(size: int) -> None:
    levels = [f"l{i}" for i in range(size)]
    design = build_design("~ f", crossed(f=levels, copies=2))
    for up, down in combinations(levels, 2):
        assert np.linalg.norm(design.contrast(("f", up, down)).weights) == pytest.approx(1.0, abs=1e-12)


def test_no_level_is_privileged() -> None:
    """The implied prior of the level effects does not change when levels are renamed in another order."""
    design = build_design("~ f", crossed(f=["a", "b", "c"], copies=2))
    rows = design.matrix[:3]
    covariance = rows @ rows.T
    np.testing.assert_allclose(covariance, 0.5 * (np.eye(3) - 1 / 3), atol=1e-14)


def test_levels_follow_categories_then_sorting() -> None:
    table = crossed(f=["low", "high"], copies=2)
    assert build_design("~ f", table).levels == {"f": ("high", "low")}
    table["f"] = pd.Categorical(table["f"], categories=["low", "unused", "high"])
    assert build_design("~ f", table).levels == {"f": ("low", "high")}


def test_booleans_and_forced_numbers_are_factors() -> None:
    table = pd.DataFrame({"b": [True, False, True, False, True, False], "lane": [1, 1, 2, 2, 10, 10]})
    design = build_design("~ b + C(lane)", table)
    assert design.levels == {"b": ("False", "True"), "lane": ("1", "2", "10")}
    table["lane"] = table["lane"].astype(float)
    assert build_design("~ C(lane)", table).levels == {"lane": ("1", "2", "10")}


def test_numeric_column_and_its_contrast() -> None:
    table = pd.DataFrame({"age": [20.0, 30.0, 40.0, 70.0]})
    design = build_design("~ age", table)
    mean, sd = 40.0, np.sqrt((400 + 100 + 0 + 900) / 4)
    np.testing.assert_allclose(design.matrix[:, 0], (table["age"] - mean) / (2 * sd))
    assert design.centring == {"age": (mean, 2 * sd)}
    weights = design.contrast("age").weights
    # A slope of 0.3 per year is recovered from the linear predictor.
    slope = 0.3
    coefficient = slope * 2 * sd
    assert weights @ [coefficient] == pytest.approx(slope)
    assert effects(design, np.array([coefficient]))[3] - effects(design, np.array([coefficient]))[0] == pytest.approx(
        slope * 50
    )


def test_small_units_are_no_reason_to_call_a_column_constant() -> None:
    molar = build_design("~ dose", pd.DataFrame({"dose": [1e-15, 3e-15, 1e-15, 3e-15]}))
    np.testing.assert_allclose(molar.matrix[:, 0], [-0.5, 0.5, -0.5, 0.5])


def test_a_balanced_indicator_is_coded_as_a_factor() -> None:
    table = pd.DataFrame({"x": [0, 1, 0, 1], "f": ["a", "b", "a", "b"]})
    np.testing.assert_allclose(build_design("~ x", table).matrix, build_design("~ f", table).matrix)


@pytest.mark.parametrize(
    "formula",
    [
        "~ cell + dex",
        "~ cell*dex",
        "~ cell:dex",
        "~ cell + cell:dex",
        "~ dex + cell:dex",
        "~ 0 + cell:dex",
        "~ dex*cell*t",
        "~ cell:dex:t",
        "~ cell + cell:dex:t",
        "~ cell:dex + cell:t",
        "~ cell*dex + t",
        "~ cell:age",
        "~ age + cell:age",
        "~ cell*age",
        "~ dex:age + cell",
        "~ age*w",
        "~ cell + dex + age:w",
    ],
)
def test_spans_the_model_of_the_formula(formula: str) -> None:
    """The columns and the intercept span what formulaic's matrix spans, with no column too many."""
    from formulaic import model_matrix

    table = crossed(cell=["A", "B", "C"], dex=["trt", "untrt"], t=["0h", "1h"], copies=2)
    rng = np.random.default_rng(1)
    table["age"], table["w"] = rng.normal(size=(2, len(table)))
    design = build_design(formula, table)
    ours = np.column_stack([np.ones(len(table)), design.matrix])
    # Centring moves a numeric column's products only within models that hold their margins.
    centred = table.assign(age=table["age"] - table["age"].mean(), w=table["w"] - table["w"].mean())
    theirs = np.asarray(model_matrix(formula, centred), dtype=float)
    rank = np.linalg.matrix_rank(theirs)
    assert np.linalg.matrix_rank(ours) == ours.shape[1] == rank
    assert np.linalg.matrix_rank(np.column_stack([ours, theirs])) == rank


def test_negative_control_of_span() -> None:
    table = crossed(cell=["A", "B", "C"], dex=["trt", "untrt"], copies=2)
    additive, full = (build_design(formula, table).matrix for formula in ("~ cell + dex", "~ cell*dex"))
    ones = np.ones((len(table), 1))
    smaller = np.linalg.matrix_rank(np.hstack([ones, additive]))
    assert np.linalg.matrix_rank(np.hstack([ones, additive, full])) > smaller


def test_interaction_contrast_is_the_average_over_cells() -> None:
    table = crossed(cell=["A", "B", "C"], dex=["trt", "untrt"], copies=2)
    rng = np.random.default_rng(2)
    for formula in ("~ cell*dex", "~ cell + cell:dex", "~ dex + cell:dex", "~ cell:dex"):
        design = build_design(formula, table)
        coefficients = rng.normal(size=design.matrix.shape[1])
        predicted = table.assign(effect=effects(design, coefficients))
        by_cell = predicted.pivot_table(values="effect", index="cell", columns="dex")
        expected = (by_cell["trt"] - by_cell["untrt"]).mean()
        assert design.contrast("dex,trt,untrt").weights @ coefficients == pytest.approx(expected, abs=1e-12), formula


def test_unbalanced_samples_still_average_levels_equally() -> None:
    table = crossed(cell=["A", "B"], dex=["trt", "untrt"], copies=2)
    table = pd.concat([table, pd.DataFrame({"cell": ["A"] * 5, "dex": ["trt"] * 5}, index=list("vwxyz"))])
    design = build_design("~ cell*dex", table)
    coefficients = np.array([0.3, 1.0, -2.0])
    cell_means = {
        (c, d): effects(design, coefficients)[(table["cell"] == c) & (table["dex"] == d)][0]
        for c, d in product("AB", ["trt", "untrt"])
    }
    expected = np.mean([cell_means[c, "trt"] - cell_means[c, "untrt"] for c in "AB"])
    assert design.contrast("dex,trt,untrt").weights @ coefficients == pytest.approx(expected)


def test_slope_beside_a_factor_is_averaged() -> None:
    table = crossed(cell=["A", "B"], copies=4)
    table["age"] = [1.0, 2.0, 4.0, 3.0, 9.0, 5.0, 6.0, 7.0]
    design = build_design("~ cell + cell:age", table)
    scale = design.centring["age"][1]
    coefficients = np.array([0.5, 2.0, 4.0])
    assert design.column_names == ("cell[1]", "cell[A]:age", "cell[B]:age")
    assert design.contrast("age").weights @ coefficients == pytest.approx(3.0 / scale)
    assert design.contrast("cell,B,A").weights @ coefficients == pytest.approx(0.5)


def test_terms_tested_and_nuisance(airway_like: pd.DataFrame) -> None:
    design = build_design("~ cell + dex", airway_like)
    assert design.column_names == ("cell[1]", "cell[2]", "cell[3]", "dex[1]")
    assert design.terms == {"cell": slice(0, 3), "dex": slice(3, 4)}
    assert design.tested == "dex"
    np.testing.assert_array_equal(design.tested_columns, [3])
    np.testing.assert_array_equal(design.nuisance_columns, [0, 1, 2])
    np.testing.assert_array_equal(design.nuisance_term_index, [0, 0, 0])
    assert any("last of the formula" in note for note in design.notes)
    other = build_design("~ cell + dex", airway_like, tested="cell")
    assert other.tested == "cell"
    np.testing.assert_array_equal(other.tested_columns, [0, 1, 2])
    assert other.nuisance_terms == ("dex",)
    with pytest.raises(DesignError, match="'geno' is not among 'cell', 'dex'"):
        build_design("~ cell + dex", airway_like, tested="geno")


def test_tested_interaction_in_either_order() -> None:
    table = crossed(cell=["A", "B"], dex=["trt", "untrt"], copies=2)
    for written in ("dex:cell", "cell : dex", "`dex`:C(cell)"):
        assert build_design("~ cell*dex", table, tested=written).tested == "cell:dex"
    with pytest.raises(DesignError, match="'cell \\+ dex' is not among 'cell', 'dex', 'cell:dex'"):
        build_design("~ cell*dex", table, tested="cell + dex")
    with pytest.raises(DesignError, match="cannot hold"):
        build_design("~ cell*dex", table, tested="open('x')")


def test_tested_by_the_bare_name_of_a_quoted_column() -> None:
    table = crossed(**{"my group": ["A", "B"], "dex": ["trt", "untrt"]}, copies=2)
    design = build_design("~ `my group` + dex", table, tested="my group")
    assert design.tested == "my group"
    assert design.contrast("my group,B,A").name.startswith("my_group_B_vs_A_")


def test_a_tested_margin_gets_a_note() -> None:
    table = crossed(cell=["A", "B"], dex=["trt", "untrt"], copies=2)
    assert any("part of 'cell:dex'" in note for note in build_design("~ cell*dex", table, tested="dex").notes)
    assert not any("part of" in note for note in build_design("~ cell + dex", table, tested="dex").notes)


def test_matrix_is_read_only(airway_like: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="read-only"):
        build_design("~ cell", airway_like).matrix[0, 0] = 1.0


def test_formula_without_intercept(airway_like: pd.DataFrame) -> None:
    design = build_design("~ 0 + cell + dex", airway_like)
    np.testing.assert_array_equal(design.matrix, build_design("~ cell + dex", airway_like).matrix)
    assert any("intercept of its own" in note for note in design.notes)
    table = pd.DataFrame({"age": [1.0, 2.0, 4.0, 4.5]})
    with pytest.raises(DesignError, match="must have an intercept"):
        build_design("~ 0 + age", table)


def test_whole_numbers_get_a_note() -> None:
    table = pd.DataFrame({"batch": [1, 2, 3, 1, 2, 3], "dex": list("abbaab")})
    assert any("C(batch)" in note for note in build_design("~ batch + dex", table).notes)
    assert not any("straight line" in note for note in build_design("~ C(batch) + dex", table).notes)


def test_column_coding_does_not_depend_on_the_hash_seed() -> None:
    code = (
        "import pandas as pd; from bayesexpr.data.design import build_design;"
        "t = pd.DataFrame({'alpha': list('aabbcc') * 2, 'beta': list('xy') * 6, 'gamma': list('ppppppqqqqqq')});"
        "print(build_design('~ alpha:beta + alpha:gamma', t).matrix.tobytes().hex())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True, text=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dex,trt,placebo", r"'dex' has 'trt', 'untrt', not 'placebo'"),
        ("drug,trt,untrt", r"'drug' is not in the design.*factor 'cell' with levels 'A', 'B', 'C', 'D'"),
        ("dex,trt,trt", "must differ"),
        ("dex", "must be 'factor,level,reference'"),
        ("dex,trt", "must be 'factor,level,reference'"),
        ("", "must be 'factor,level,reference'"),
        (("dex", "trt", "untrt", "x"), "must be 'factor,level,reference'"),
        ({"nope": 1.0}, "'nope' is not among 'cell\\[1\\]'"),
        ({"dex[1]": float("nan")}, "must be finite numbers"),
        ({"dex[1]": 0.0}, "weight zero on all"),
        ({"dex[1]": "1"}, "must be finite numbers"),
    ],
)
def test_contrasts_that_do_not_exist(airway_like: pd.DataFrame, spec: object, message: str) -> None:
    with pytest.raises(DesignError, match=message):
        build_design("~ cell + dex", airway_like).contrast(spec)  # type: ignore[arg-type]


def test_difference_of_a_numeric_column_is_refused() -> None:
    design = build_design("~ age", pd.DataFrame({"age": [1.0, 2.0, 5.0]}))
    with pytest.raises(DesignError, match="is numeric: give its name alone"):
        design.contrast("age,2,1")


def test_contrast_by_coefficient_and_by_weights(airway_like: pd.DataFrame) -> None:
    design = build_design("~ cell + dex", airway_like)
    np.testing.assert_array_equal(design.contrast("cell[2]").weights, [0, 1, 0, 0])
    np.testing.assert_array_equal(design.contrast({"cell[1]": 0.5, "dex[1]": -2}).weights, [0.5, 0, 0, -2])
    quoted = design.contrast(' dex , "trt" , untrt ')
    np.testing.assert_array_equal(quoted.weights, [0, 0, 0, -1])
    assert (quoted.name, quoted.label) == ("dex_trt_vs_untrt", "dex: trt vs untrt")


@pytest.mark.parametrize("text", ["../../etc/passwd", "a/b", "x" * 300, "é", "", "a b", "..", "-rf /", "CON\0"])
def test_names_of_contrasts_are_safe_in_a_path(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", slug(text))


def test_lossy_names_stay_distinct() -> None:
    assert slug("a/b") != slug("a b")
    assert slug("plain_name") == "plain_name"


# --- partitions ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "bell"), [(1, 1), (2, 2), (3, 5), (4, 15), (5, 52)])
def test_number_of_set_partitions(size: int, bell: int) -> None:
    found = list(set_partitions(size))
    assert len(set(found)) == len(found) == bell
    assert found[0] == (0,) * size
    assert found[-1] == tuple(range(size))


@pytest.mark.parametrize(("size", "count"), [(2, 2), (3, 5), (4, 15), (5, 7), (6, 8)])
def test_projectors_of_a_factor(size: int, count: int) -> None:
    levels = [f"l{i}" for i in range(size)]
    design = build_design("~ f", crossed(f=levels, copies=2))
    components = design.partitions()
    assert components.projectors.shape == (count, size - 1, size - 1)
    assert len(components.labels) == count
    for projector in components.projectors:
        np.testing.assert_allclose(projector @ projector, projector, atol=1e-12)
        np.testing.assert_allclose(projector, projector.T, atol=1e-12)
    np.testing.assert_array_equal(np.abs(components.projectors[0]) < 1e-12, True)
    np.testing.assert_allclose(components.projectors[-1], np.eye(size - 1), atol=1e-12)


def test_a_block_shares_its_effect_and_no_more() -> None:
    levels = ["a", "b", "c"]
    design = build_design("~ f", crossed(f=levels, copies=2))
    components = level_partitions(levels)
    assert components.labels == ("null", "a = b | c", "a = c | b", "a | b = c", "full")
    coefficients = np.array([0.7, -1.3])
    same = components.projectors[components.labels.index("a = c | b")] @ coefficients
    assert design.contrast("f,a,c").weights @ same == pytest.approx(0.0, abs=1e-12)
    assert abs(design.contrast("f,a,b").weights @ same) > 0.1
    # The projection is the block mean of the level effects.
    level_effects = design.matrix[:3] @ coefficients
    block = np.array([level_effects[[0, 2]].mean(), level_effects[1], level_effects[[0, 2]].mean()])
    np.testing.assert_allclose(design.matrix[:3] @ same, block, atol=1e-12)


def test_other_terms_are_all_or_none() -> None:
    table = crossed(cell=["A", "B", "C"], dex=["trt", "untrt"], copies=2)
    table["age"] = np.arange(len(table)) ** 1.5
    interaction = build_design("~ cell*dex", table).partitions()
    assert interaction.labels == ("null", "full")
    np.testing.assert_array_equal(interaction.projectors, [np.zeros((2, 2)), np.eye(2)])
    assert build_design("~ cell + age", table).partitions().labels == ("null", "changed")


# --- designs that cannot be estimated -------------------------------------------------------------


def table_of(**columns: list[object]) -> pd.DataFrame:
    size = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=[f"s{i}" for i in range(size)])


@pytest.mark.parametrize(
    ("table", "formula", "message"),
    [
        (
            table_of(batch=["b1", "b1", "b2", "b2"], condition=["x", "x", "y", "y"]),
            "~ batch + condition",
            "`batch` and `condition` are confounded: every sample with batch = 'b1' has condition = 'x'.*Drop one",
        ),
        (
            table_of(patient=["p1", "p1", "p2", "p2", "p3", "p3"], condition=["x", "x", "x", "x", "y", "y"]),
            "~ condition + patient",
            "every sample with patient = 'p1' has condition = 'x'.*`patient` determines `condition`",
        ),
        (
            table_of(a=["1", "1", "2", "2", "3", "3", "4", "4"], b=["u", "v", "v", "u", "w", "z", "z", "w"]),
            "~ C(a) + b",
            "a '1', '2' occur only with b 'u', 'v'; a '3', '4' occur only with b 'w', 'z'.*nothing links",
        ),
        (
            table_of(age=[1.0, 2.0, 3.0, 5.0], months=[12.0, 24.0, 36.0, 60.0]),
            "~ age + months",
            "`age` and `months` are confounded: one is the other up to origin and scale",
        ),
        (
            table_of(batch=list("aabbcc"), age=[1.0, 1.0, 2.0, 2.0, 5.0, 5.0]),
            "~ age + batch",
            "`batch` determines `age`",
        ),
        (
            table_of(cell=list("AABBCCCC"), dex=["t", "u", "t", "t", "t", "u", "t", "u"]),
            "~ cell*dex",
            "no sample has cell = 'B' and dex = 'u', so that the interaction `cell:dex` cannot be estimated",
        ),
        (
            table_of(x=[1.0, 2.0, 0.0, 4.0, 1.0], y=[0.0, 1.0, 1.0, 3.0, 7.0], z=[1.0, 3.0, 1.0, 7.0, 8.0]),
            "~ x + y + z",
            "`x`, `y` and `z` are confounded: the columns of the last are determined by the others",
        ),
        (
            table_of(f=list("aabb"), x=[1.0, 2.0, 3.0, 1.5], y=[5.0, 1.0, 2.0, 9.0], z=[0.0, 1.0, 5.0, 5.5]),
            "~ f + x + y + z",
            "there are 5 coefficients \\(the intercept 1, 'f' 1, 'x' 1, 'y' 1, 'z' 1\\) but only 4 samples",
        ),
    ],
)
def test_confounding_in_words(table: pd.DataFrame, formula: str, message: str) -> None:
    with pytest.raises(DesignError, match=message):
        build_design(formula, table)


def test_nearly_confounded_is_accepted() -> None:
    table = table_of(batch=["b1", "b1", "b1", "b2", "b2"], condition=["x", "x", "y", "y", "y"])
    assert build_design("~ batch + condition", table).matrix.shape == (5, 2)


def test_no_residual_degree_of_freedom_warns() -> None:
    table = crossed(cell=["A", "B"], dex=["trt", "untrt"])
    with pytest.warns(UserWarning, match="4 coefficients with the intercept for 4 samples"):
        design = build_design("~ cell*dex", table)
    assert any("no sample is left" in note for note in design.notes)


@pytest.mark.parametrize(
    ("table", "formula", "message"),
    [
        (table_of(f=["a", "b", None]), "~ f", "'f' has none for 's2'"),
        (table_of(x=[1.0, np.nan, 2.0]), "~ x", "'x' has none for 's1'"),
        (table_of(x=[1.0, np.inf, 2.0]), "~ x", "must be finite; 'x' is not for 's1'"),
        (table_of(f=["a", "a", "a"]), "~ f", "'f' is 'a' for every sample"),
        (table_of(x=[7, 7, 7]), "~ x", "'x' is 7 for every sample"),
        (table_of(x=[0.1 + 0.2, 0.3, 0.3]), "~ x", "must vary"),
        (table_of(f=["a", "b"]), "~ g", "'g' is not among 'f'"),
        (table_of(f=[1, "1", 2]), "~ f", "must have different names"),
    ],
)
def test_columns_that_cannot_be_used(table: pd.DataFrame, formula: str, message: str) -> None:
    with pytest.raises(DesignError, match=message):
        build_design(formula, table)


def test_missing_values_elsewhere_do_not_matter() -> None:
    table = table_of(f=["a", "b", "a", "b"], note=["x", None, None, None])
    assert build_design("~ f", table).matrix.shape == (4, 1)


def test_many_samples_do_not_need_a_square_matrix() -> None:
    """Four thousand cells: the rank is found without a samples x samples matrix (128 MB here)."""
    import tracemalloc

    table = crossed(f=["a", "b"], g=["u", "v"], copies=1000)
    tracemalloc.start()
    build_design("~ f + g", table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10e6
