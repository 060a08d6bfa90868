from pathlib import Path

from discern.workflows.demo import DemoResult, Recovery


def test_doctor_prints_one_line_per_finding(discern):
    finished = discern("doctor")
    assert (finished.exit_code, finished.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in finished.stdout.splitlines())
    assert lines["Python"].startswith("3.")
    assert "matrix product, CPU:0" in finished.stdout
    assert "GFLOP/s, correct" in finished.stdout


def test_demo_prints_the_table_and_where_the_pictures_are(discern, here, monkeypatch):
    given = {}

    def demo(out, *, seed):
        given.update(out=out, seed=seed)
        return DemoResult([Recovery("as measured", 0.25, 0.5)], [Path("a.png"), Path("b.png")], Path("x.h5ad"), 61.4)

    monkeypatch.setattr("discern.workflows.demo.demo", demo)
    finished = discern("demo", "--out", "somewhere", "--seed", "3")
    assert finished.exit_code == 0
    assert given == {"out": Path("somewhere"), "seed": 3}
    assert "as measured" in finished.stdout
    assert "0.250     0.500" in finished.stdout
    assert finished.stdout.splitlines()[-3:] == [
        "Reconstructed cells: x.h5ad",
        "Pictures: a.png, b.png",
        "Finished in 61 s.",
    ]


def test_demo_leaves_other_folders_alone(discern, here):
    (here / "mine").mkdir()
    (here / "mine" / "notes.txt").touch()
    finished = discern("demo", "--out", "mine")
    assert finished.exit_code == 4
    assert "holds files that are no earlier demonstration" in finished.stderr
