//! Vectors of texts that are not in use: kept up to a bound, also over a restart.

use super::service::{Mood, Running, Service};

#[test]
fn a_text_that_comes_back_after_a_restart_is_not_embedded_again() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    for workers in [1, 2] {
        let node = Running::start_on(&service, data.path(), "", workers);
        node.put(1, "winter");
        node.complete();
        node.put(1, "summer");
        node.complete();
        assert!(node.shows(1, "summer") && !node.shows(1, "winter"));
        node.stop();
    }
    assert_eq!(service.embedded(), ["winter", "summer"]);
    let node = Running::start(&service, data.path(), "");
    node.put(1, "winter");
    node.complete();
    assert!(node.shows(1, "winter"));
    let stats = node.stats();
    assert_eq!(
        (stats.texts_embedded, stats.texts_saved_cached, stats.texts_saved),
        (0, 1, 1)
    );
    assert_eq!(service.embedded().len(), 2);
    node.stop();
}

#[test]
fn the_cache_is_bounded_and_drops_what_was_in_use_longest_ago() {
    let data = tempfile::tempdir().unwrap();
    let service = Service::new(Mood::Well);
    // Room for nine vectors of four dimensions.
    let node = Running::start(&service, data.path(), "cache = \"1KiB\"");
    for year in 0..30 {
        node.put(1, &format!("year {year}"));
        node.complete();
    }
    node.stop();
    assert_eq!(service.embedded().len(), 30);
    let node = Running::start(&service, data.path(), "cache = \"1KiB\"");
    for year in (0..30).rev().skip(1) {
        node.put(1, &format!("year {year}"));
        node.complete();
    }
    let again = service.embedded().split_off(30);
    assert_eq!(again.len(), 29 - 9, "{again:?}");
    assert!(
        again
            .iter()
            .all(|text| !text.starts_with("year 2") || *text == "year 2"),
        "{again:?}"
    );
    node.stop();
}
