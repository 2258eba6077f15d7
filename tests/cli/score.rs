//! `kiln score`.

use crate::trained;

#[test]
fn scores_are_arrays() {
    let place = trained();
    assert_eq!(place.kiln("score run --limit 4 --out s.npy --json").json()["shape"], serde_json::json!([4]));
    let (shape, scores) = place.array("s.npy");
    assert!(shape == [4] && scores.iter().all(|s| *s < 0.0));
    assert_eq!(place.kiln("score run --limit 4 --out deep/m.npy --per-pixel --json").json()["shape"], serde_json::json!([4, 28, 28, 1]));
    assert!(place.array("deep/m.npy").1.iter().all(|s| *s <= 0.0));
}
