import gzip

import numpy as np
import pytest

from discern.errors import DataError
from discern.io import tables
from discern.io.reading import read_raw_input


def test_csv_of_the_5k_batch_equals_the_h5ad(data_dir):
    table = read_raw_input(data_dir / "raw" / "csv_totalvi_pbmc" / "pbmc5k_harmo_rna.csv.gz")
    both = read_raw_input(data_dir / "pbmc_citeseq_10k5k.h5ad")
    batch = both[both.obs["batch"] == "pbmc5k_v3"]
    assert table.shape == (3994, 4000)
    assert table.var_names.equals(batch.var_names)
    assert table.obs_names.tolist() == [name.removesuffix("-pbmc5k_v3") for name in batch.obs_names]
    assert (table.X != batch.X).nnz == 0


TEXT = "gene,c1,c2,c3\nCD3D,1,0,2\nNA,0,0,5\nMS4A1,4,1,0\n"
COUNTS = [[1, 0, 4], [0, 0, 1], [2, 5, 0]]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".tsv", ".tsv.gz", ".txt"])
@pytest.mark.parametrize("header", ["gene,c1,c2,c3", ",c1,c2,c3", "c1,c2,c3", '"","c1","c2","c3"'])
def test_separators_compression_and_headers(tmp_path, suffix, header):
    text = TEXT.replace("gene,c1,c2,c3", header)
    if not suffix.startswith(".csv"):
        text = text.replace(",", "\t")
    path = tmp_path / f"x{suffix}"
    path.write_bytes(gzip.compress(text.encode()) if suffix.endswith("gz") else text.encode())
    adata = read_raw_input(path)
    assert np.array_equal(adata.X.toarray(), COUNTS)
    assert adata.obs_names.tolist() == ["c1", "c2", "c3"]
    assert adata.var_names.tolist() == ["CD3D", "NA", "MS4A1"]


def test_chunks_give_the_same_matrix(tmp_path, monkeypatch):
    counts = np.random.default_rng(2).poisson(0.5, (50, 9))
    lines = [",".join(["g", *(f"c{i}" for i in range(9))])]
    lines += [",".join([f"G{i}", *map(str, row)]) for i, row in enumerate(counts)]
    (tmp_path / "x.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(tables, "_CHUNK_VALUES", 1)
    monkeypatch.setattr(tables, "_SHORTEST_CHUNK", 7)
    adata = read_raw_input(tmp_path / "x.csv")
    assert np.array_equal(adata.X.toarray(), counts.T)
    assert adata.var_names[-1] == "G49"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TEXT.replace("4,1,0", "4,many,0"), "1 entry is not a number; the first is gene MS4A1, cell c2: 'many'"),
        (TEXT.replace("4,1,0", "4,,0"), "the first is gene MS4A1, cell c2: empty or NA"),
        (TEXT.replace("4,1,0", "4"), "2 entries are not numbers; the first is gene MS4A1, cell c2: empty or NA"),
        (TEXT.replace(",c3", "").replace(",c2", ""), "has 2 columns, the lines below it 4"),
        (TEXT.replace(",", ";"), "has 1 column when split at ','"),
        (TEXT.replace("4,1,0", "4,1,0,7,7"), "Cannot read"),
        ("", "has 0 columns"),
    ],
)
def test_faulty_tables_are_refused(tmp_path, text, message):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_raw_input(tmp_path / "x.csv")


def test_cells_in_rows_are_pointed_out(tmp_path, caplog):
    (tmp_path / "x.csv").write_text("cell,CD3D,MS4A1\nAAACCCAAGAGACAAG-1,1,0\nAAACCCAAGGCCTAGA-1,0,1\n")
    read_raw_input(tmp_path / "x.csv")
    assert "Tables must be genes x cells: transpose it" in caplog.text
