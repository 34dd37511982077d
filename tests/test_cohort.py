"""The cohort table: text stays text, and every fault is named with row and column."""

import json

import pytest

from drrx.errors import CaseRefused, DrrxError
from drrx.io.cohort import make_schema, read_cohort
from drrx.records.case import CaseRecord, Correction

HEADER = "case\tpath\tcohort\n"


def write(tmp_path, text, name="cohort.tsv"):
    path = tmp_path / name
    path.write_bytes(text.encode())
    return path


def test_paths_are_relative_to_the_table_and_text_stays_text(tmp_path):
    text = "case\tpath\tcohort\tmask\tsex\n007\tct/a.nii.gz\tA\tm.nii.gz\tNA\n# note\n\n1e5\tphantom:12\tA\t\t1.0\n"
    first, second = read_cohort(write(tmp_path, text))
    assert (first.case, first.phantom_seed) == ("007", None)
    assert first.path == str(tmp_path / "ct" / "a.nii.gz")
    assert first.mask == str(tmp_path / "m.nii.gz")
    assert first.extra == {"sex": "NA"}
    assert (second.case, second.path, second.phantom_seed) == ("1e5", "phantom:12", 12)
    assert second.mask is second.series_uid is None


def test_known_nodules_are_named_by_a_file_and_a_word(tmp_path):
    text = "case\tpath\tcohort\tannotations\thas_nodules\na\ta.nii\tA\tn/a.csv\tyes\nb\tb.nii\tA\t\tno\nc\tc.nii\tA\n"
    first, second, third = read_cohort(write(tmp_path, text))
    assert (first.annotations, first.has_nodules) == (str(tmp_path / "n" / "a.csv"), "yes")
    assert (second.annotations, second.has_nodules) == (None, "no")
    assert third.has_nodules is None, "nobody knows"


def test_a_job_reads_its_own_rows_only(tmp_path):
    # The other rows were checked when the workflow was read: a job of eight cases does not check 100,000 again.
    table = write(tmp_path, HEADER + "a\tx\tA\nb!\tx\tA\nc\ty\tA\nshort\n")
    assert [row.case for row in read_cohort(table, ["c", "a"])] == ["a", "c"]
    assert read_cohort(table, ["d"]) == ()
    with pytest.raises(DrrxError, match="found 'b!'"):
        read_cohort(table, ["a", "b!"])


@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
def test_delimiters_bom_crlf_and_quotes(tmp_path, delimiter):
    line = delimiter.join(["a", '"/data/x y.mha"', "B", "1.2.3"])
    head = delimiter.join(["case", "path", "cohort", "series_uid"])
    (row,) = read_cohort(write(tmp_path, f"\ufeff{head}\r\n{line}\r\n", "t.csv"))
    assert (row.path, row.series_uid) == ("/data/x y.mha", "1.2.3")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("case\tcohort\na\tB\n", "needed also path"),
        ("case\tpath\tcohort\tcase\n", "twice"),
        ("", "empty table"),
        (HEADER, "no rows"),
        (HEADER + "a\t\tB\n", r"cohort.tsv row 2, column path: found nothing"),
        (HEADER + "a b\tx\tB\n", r"row 2, column case: found 'a b'"),
        (HEADER + "../a\tx\tB\n", r"column case"),
        (HEADER + "a\tx\tB\nb\tx\tB/C\n", r"row 3, column cohort: found 'B/C'"),
        (HEADER + "a\tx\tB\n\nA\ty\tB\n", r"row 4, column case: found 'A' again \(first in row 2\)"),
        ("case\tpath\tcohort\thas_nodules\na\tx\tB\tmaybe\n", r"column has_nodules: found 'maybe'; needed yes, no, or"),
        (HEADER + "a\tphantom:x\tB\n", r"row 2, column path: found 'phantom:x'.*phantom:SEED"),
        (HEADER + "a\tx\tB\tmore\n", r"found 4 values; needed 3 values"),
        (HEADER + "a \tx\t\n!\tx\tB\n", r"column cohort: found nothing.*1 more problem\(s\): row 3, column case"),
    ],
)
def test_faults_name_row_and_column(tmp_path, text, match):
    with pytest.raises(DrrxError, match=match):
        read_cohort(write(tmp_path, text))


def test_missing_and_non_utf8_tables(tmp_path):
    with pytest.raises(DrrxError, match="no such file"):
        read_cohort(tmp_path / "none.tsv")
    (tmp_path / "latin.tsv").write_bytes(b"case\tpath\tcohort\n\xe4\tx\tB\n")
    with pytest.raises(DrrxError, match="not UTF-8"):
        read_cohort(tmp_path / "latin.tsv")


def test_schema_names_every_column():
    schema = json.loads(json.dumps(make_schema()))
    assert set(schema["required"]) == {"case", "path", "cohort"}
    assert schema["properties"]["case"]["pattern"].startswith("^[A-Za-z0-9_]")


def test_case_record_round_trip_and_refusal():
    record = CaseRecord(
        "a", "B", status="corrected", corrections=(Correction("GAP_FILLED", "1 slice"),), flags=("CONTRAST",),
        geometry={"shape": [3, 4, 5]}, source={"format": "nifti"},
    )  # fmt: skip
    assert CaseRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    error = CaseRefused("NO_LUNGS", where="a", found="no air", needed="two lungs", hint="Give a mask.")
    refused = record.refuse(error)
    assert (refused.status, refused.code, refused.hint) == ("refused", "NO_LUNGS", "Give a mask.")
    assert refused.corrections == record.corrections
    assert CaseRecord.from_refusal(error, case="b").is_refused
    with pytest.raises(DrrxError, match="status 'refused'"):
        CaseRecord("a", code="X", hint="h")
    with pytest.raises(DrrxError, match="case record"):
        CaseRecord.from_json({"case": "a"})
