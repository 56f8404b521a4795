//! Another model for a running index: built beside the one that answers, switched at a tick, rolled back, dropped.

mod rig;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::binary::{Served, eventually, millpond, new_data_dir, sample};
use crate::shared::Random;
use rig::{How, NEW, Notes, OLD, Rig, dataflow, vector};

#[test]
fn an_index_changes_its_model_and_back_while_it_is_written_and_searched() {
    for workers in [1, 2] {
        let data = tempfile::tempdir().unwrap();
        let rig = Rig::start(OLD, data.path(), workers);
        let mut notes = Notes::default();
        let random = &mut Random::new(workers as u64);
        rig.push(&notes.fill(1_300));
        rig.shows(&notes, 8);
        let stop = Arc::<AtomicBool>::default();
        let asking = rig.ask(&stop);

        assert_eq!(rig.begin(NEW)["phase"], "building");
        let (status, refused) = rig.post("/upgrade/switch", &json!({}));
        assert_eq!((status, &refused["error"]["code"]), (409, &json!("not_complete")));
        for _ in 0..10 {
            rig.push(&notes.change(random, 30));
        }
        rig.shows(&notes, 8);
        rig.release();
        for _ in 0..10 {
            rig.push(&notes.change(random, 30));
        }
        rig.complete();
        rig.shows(&notes, 8);

        assert_eq!(rig.upgrade("switch")["phase"], "switched");
        rig.shows(&notes, 16);
        rig.push(&notes.change(random, 200));
        rig.shows(&notes, 16);
        // The former set has what came after the switch.
        assert_eq!(rig.upgrade("rollback")["phase"], "complete");
        rig.shows(&notes, 8);
        rig.push(&notes.change(random, 100));
        rig.upgrade("switch");
        rig.shows(&notes, 16);

        let before = rig.texts_bytes(data.path());
        let (status, dropped) = rig.delete_second();
        assert_eq!((status, &dropped["phase"]), (200, &json!("none")), "{dropped}");
        assert!(
            rig.snapshot()
                .leg(0)
                .all(|leg| leg.vectors.is_empty() && leg.pending == 0)
        );
        // Older files stay as long as the checkpoint before, which has the dropped set.
        rig.push(&notes.change(random, 50));
        eventually("its vectors are gone from the disk", || {
            (rig.texts_bytes(data.path()) < before * 3 / 4).then_some(())
        });
        rig.push(&notes.change(random, 50));
        rig.shows(&notes, 16);

        // A second upgrade, back to the first model, of which nothing is known any more.
        rig.begin(OLD);
        rig.push(&notes.change(random, 50));
        rig.complete();
        rig.upgrade("switch");
        rig.push(&notes.change(random, 50));
        rig.shows(&notes, 8);
        stop.store(true, Ordering::Release);
        assert_eq!(asking.join().unwrap(), BTreeSet::from([8, 16]));
        rig.stop();
    }
}

#[test]
fn an_upgrade_goes_on_after_a_restart_in_each_phase() {
    let data = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let random = &mut Random::new(5);
    let restarted = |rig: Rig, notes: &Notes, phase: &str, dimensions: usize| {
        rig.stop();
        let rig = Rig::start(OLD, data.path(), 2);
        rig.nothing_corrected();
        assert_eq!(rig.status()["phase"], phase);
        rig.shows(notes, dimensions);
        rig
    };
    let rig = Rig::start(OLD, data.path(), 2);
    rig.push(&notes.fill(1_200));
    rig.shows(&notes, 8);
    rig.begin(NEW);
    // Some texts are embedded, and the rest is not.
    rig.let_through(320);
    rig.until_status("some texts are done", |status| {
        status["second"]["texts_done"].as_u64() >= Some(300)
    });
    let rig = restarted(rig, &notes, "building", 8);
    rig.push(&notes.change(random, 100));
    rig.release();
    rig.complete();
    let embedded = rig.embedded(16);
    assert!(embedded <= 1_200 - 300 + 100, "{embedded}");

    let rig = restarted(rig, &notes, "complete", 8);
    rig.release();
    rig.push(&notes.change(random, 100));
    rig.upgrade("switch");
    rig.shows(&notes, 16);
    let rig = restarted(rig, &notes, "switched", 16);
    rig.release();
    rig.push(&notes.change(random, 100));
    rig.shows(&notes, 16);
    rig.upgrade("rollback");
    rig.shows(&notes, 8);
    rig.upgrade("switch");
    let rig = restarted(rig, &notes, "switched", 16);
    rig.release();
    assert_eq!(rig.delete_second().0, 200);
    rig.push(&notes.change(random, 100));
    rig.shows(&notes, 16);
    rig.stop();

    // The dataflow file names the former model still, then the new one.
    for settings in [OLD, NEW, NEW] {
        let rig = Rig::start(settings, data.path(), 2);
        rig.nothing_corrected();
        let status = rig.status();
        assert_eq!(
            (&status["phase"], &status["answering"]["default"]),
            (&json!("none"), &json!("hash-16@1"))
        );
        rig.shows(&notes, 16);
        assert_eq!((rig.embedded(8), rig.embedded(16)), (0, 0));
        rig.stop();
    }
    // Once that is stored, the former one is another model like any.
    let rig = Rig::start(NEW, data.path(), 2);
    rig.release();
    rig.push(&notes.change(random, 1));
    rig.stop();
    let refused = Rig::try_start(OLD, data.path(), 2).err().unwrap_or_default();
    assert!(refused.contains("--rebuild"), "{refused}");
}

#[test]
fn the_dataflow_file_settles_a_switched_upgrade_by_naming_the_new_model() {
    let data = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let rig = Rig::start(OLD, data.path(), 1);
    rig.release();
    rig.push(&notes.fill(100));
    rig.begin(NEW);
    rig.complete();
    rig.upgrade("switch");
    rig.push(&notes.change(&mut Random::new(3), 40));
    rig.shows(&notes, 16);
    let before = rig.texts_bytes(data.path());
    rig.stop();
    let rig = Rig::start(NEW, data.path(), 1);
    rig.nothing_corrected();
    assert_eq!(rig.status()["phase"], "none");
    rig.shows(&notes, 16);
    assert_eq!((rig.embedded(8), rig.embedded(16)), (0, 0));
    rig.release();
    // The checkpoint before has it still, until there is another one.
    eventually("nothing of the former model is left", || {
        rig.push(&notes.change(&mut Random::new(4), 1));
        (rig.texts_bytes(data.path()) < before * 3 / 4).then_some(())
    });
    rig.stop();
}

#[test]
fn a_comparison_says_what_a_second_computation_says() {
    let data = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let rig = Rig::start(OLD, data.path(), 2);
    rig.release();
    rig.push(&notes.fill(60));
    rig.shows(&notes, 8);
    let (status, refused) = rig.post("/upgrade/compare", &json!({}));
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("no_upgrade")));
    rig.begin(NEW);
    rig.complete();
    let (status, refused) = rig.post("/upgrade/compare", &json!({}));
    assert_eq!((status, &refused["error"]["code"]), (409, &json!("no_queries")));

    let queries = ["note number7", "shared 1", "anything"];
    let (status, compared) = rig.post("/upgrade/compare", &json!({ "queries": queries }));
    assert_eq!(status, 200, "{compared}");
    assert_eq!(
        (&compared["answering"], &compared["second"]),
        (&json!("hash-8@1"), &json!("hash-16@1"))
    );
    let mut sums = (0.0, 0.0);
    for (query, compared) in queries.iter().zip(compared["queries"].as_array().unwrap()) {
        let (overlap, tau) = expected(&notes, query);
        assert_eq!(compared["query"], *query);
        assert!((compared["overlap_at_10"].as_f64().unwrap() - overlap).abs() < 1e-9);
        assert!(
            (compared["kendall_tau"].as_f64().unwrap() - tau).abs() < 1e-9,
            "{compared}"
        );
        sums = (sums.0 + overlap / 3.0, sums.1 + tau / 3.0);
    }
    assert!((compared["overlap_at_10"].as_f64().unwrap() - sums.0).abs() < 1e-9);
    assert!((compared["kendall_tau"].as_f64().unwrap() - sums.1).abs() < 1e-9);

    // What was searched for counts where nothing is given.
    for query in ["some words", "note number7", "some words"] {
        assert_eq!(rig.post("/search", &json!({ "query": query })).0, 200);
    }
    let compared = rig.upgrade("compare");
    let asked: Vec<&Value> = compared["queries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|query| &query["query"])
        .collect();
    assert_eq!(asked, ["note number7", "some words"]);
    rig.stop();
}

/// Overlap and rank correlation, by ranks: tau is what is left of 1 for each pair that is the other way round.
fn expected(notes: &Notes, query: &str) -> (f64, f64) {
    let ranked = |dimensions| {
        let mut scored: Vec<_> = notes.scores(query, dimensions).into_iter().collect();
        scored.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        scored.into_iter().map(|(key, _)| key).collect::<Vec<String>>()
    };
    let (old, new) = (ranked(8), ranked(16));
    let both = old[..10].iter().filter(|key| new[..10].contains(key)).count();
    let union: BTreeSet<&String> = old[..10].iter().chain(&new[..10]).collect();
    let rank = |ranked: &[String], key: &String| ranked.iter().position(|other| other == key).unwrap();
    let (mut pairs, mut inverted) = (0.0, 0.0);
    for a in &union {
        for b in union.iter().filter(|b| *b > a) {
            pairs += 1.0;
            let (of_old, of_new) = (rank(&old, a) < rank(&old, b), rank(&new, a) < rank(&new, b));
            inverted += f64::from(u8::from(of_old != of_new));
        }
    }
    (both as f64 / 10.0, 1.0 - 2.0 * inverted / pairs)
}

#[test]
fn what_cannot_be_is_refused_with_what_would_be_right() {
    let data = tempfile::tempdir().unwrap();
    let rig = Rig::start(OLD, data.path(), 1);
    let refused = |path: &str, body: Value| {
        let (status, answer) = rig.post(path, &body);
        let code = answer["error"]["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{answer}"));
        assert!(answer["error"]["hint"].is_string(), "{answer}");
        (status, code.to_owned())
    };
    for (path, body, status, code) in [
        ("/upgrade", json!({}), 400, "bad_request"),
        (
            "/upgrade",
            json!({"model": "hash", "embedder": OLD}),
            400,
            "bad_request",
        ),
        ("/upgrade", json!({"models": "hash"}), 400, "bad_request"),
        ("/upgrade", json!({"model": "defualt"}), 400, "bad_embedder"),
        ("/upgrade", json!({"model": "none"}), 400, "bad_embedder"),
        ("/upgrade", json!({"embedder": "model = "}), 400, "bad_embedder"),
        (
            "/upgrade",
            json!({"embedder": "[x]\nmodel = \"hash\""}),
            400,
            "bad_embedder",
        ),
        (
            "/upgrade",
            json!({"model": "hash", "using": "plot"}),
            400,
            "unknown_vector",
        ),
        ("/upgrade", json!({"embedder": OLD}), 409, "same_model"),
        ("/upgrade/switch", json!({}), 409, "no_upgrade"),
        ("/upgrade/rollback", json!({}), 409, "no_upgrade"),
        ("/upgrade/compare", json!({"queries": ["a"]}), 409, "no_upgrade"),
    ] {
        assert_eq!(
            refused(path, body.clone()),
            (status, code.to_owned()),
            "{path} {body}"
        );
    }
    assert_eq!(rig.delete_second().0, 409);
    assert_eq!(rig.status()["phase"], "none");
    rig.release();
    rig.begin(NEW);
    rig.complete();
    assert_eq!(
        refused("/upgrade", json!({"model": "hash"})),
        (409, "upgrade_running".into())
    );
    assert_eq!(
        refused("/upgrade/rollback", json!({})),
        (409, "not_switched".into())
    );
    rig.upgrade("switch");
    assert_eq!(refused("/upgrade/switch", json!({})), (409, "switched".into()));
    assert_eq!(rig.delete_second().0, 200);
    // A vector of the former model does not fit any more.
    let asked = json!({"vector": vector("a", 8)});
    assert_eq!(refused("/search", asked), (400, "wrong_dimensions".into()));
    rig.stop();
}

#[test]
fn what_an_upgrade_has_left_answers_while_a_third_model_is_built() {
    let data = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let rig = Rig::start(OLD, data.path(), 2);
    rig.release();
    rig.push(&notes.fill(40));
    rig.begin(NEW);
    rig.complete();
    rig.upgrade("switch");
    rig.push(&notes.change(&mut Random::new(9), 20));
    rig.shows(&notes, 16);
    rig.stop();
    let how = How {
        rebuild: true,
        ..How::default()
    };
    let third = "model = \"hash\"\ndimensions = 12";
    let rig = Rig::start_where(third, data.path(), 2, how).unwrap();
    let asked =
        json!({"vector": vector("note number7", 16), "mode": "vector", "limit": 5_000, "exact": true});
    let (status, answer) = rig.post("/search", &asked);
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["hits"].as_array().unwrap().len(), notes.0.len());
    rig.release();
    rig.until_status("the index before is let go of", |status| {
        status["phase"] == "none"
    });
    rig.shows(&notes, 12);
    rig.stop();
}

#[test]
fn texts_in_pieces_are_upgraded_to_what_a_node_with_the_new_model_makes_of_them() {
    let how = How {
        index: "chunk = { tokens = 30, overlap = 4 }",
        ..How::default()
    };
    let random = &mut Random::new(31);
    let mut paragraph = |note: usize| {
        let words = [
            "harbour",
            "gulls",
            "revenue",
            "kitten",
            "wall",
            "orchestra",
            "island",
            "judge",
        ];
        let words: Vec<&str> = (0..20).map(|_| words[random.below(words.len())]).collect();
        format!("Note {note} tells: {}.\n\n", words.join(" "))
    };
    let mut notes: Vec<String> = (0..80)
        .map(|id| (0..1 + id % 5).map(|_| paragraph(id)).collect())
        .collect();
    let lines = |notes: &[String]| -> String {
        let rows = notes.iter().enumerate();
        rows.map(|(id, text)| format!("{}\n", json!({"id": id, "text": text})))
            .collect()
    };
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let upgraded = Rig::start_where(OLD, folders[0].path(), 2, how).unwrap();
    upgraded.push(&lines(&notes));
    upgraded.begin(NEW);
    for round in 0..6 {
        upgraded.let_through(40);
        for id in (round..80).step_by(7) {
            notes[id] += &paragraph(id);
        }
        notes[round] = format!("short {round}");
        upgraded.push(&lines(&notes));
    }
    upgraded.release();
    upgraded.complete();
    upgraded.upgrade("switch");
    notes[70] = paragraph(70);
    upgraded.push(&lines(&notes));

    let fresh = Rig::start_where(NEW, folders[1].path(), 1, how).unwrap();
    fresh.release();
    fresh.push(&lines(&notes));
    for query in ["kitten on the wall", "Note 12 tells: harbour", "short 3"] {
        let asked =
            json!({"vector": vector(query, 16), "mode": "vector", "limit": 80, "exact": true, "fields": []});
        let answer = |rig: &Rig| {
            eventually("all vectors are there", || {
                (rig.snapshot().vectors_pending() == 0).then_some(())
            });
            let (status, answer) = rig.post("/search", &asked);
            assert_eq!(status, 200, "{answer}");
            answer["hits"].clone()
        };
        let expected = answer(&fresh);
        assert_eq!(expected.as_array().unwrap().len(), 80);
        assert!(expected[0]["piece"]["text"].is_string(), "{}", expected[0]);
        assert_eq!(answer(&upgraded), expected, "{query}");
    }
    upgraded.stop();
    fresh.stop();
}

#[test]
fn a_model_that_refuses_what_the_other_took_answers_only_when_it_is_forced_to() {
    let data = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let how = How {
        refuses: Some("note"),
        ..How::default()
    };
    let rig = Rig::start_where(OLD, data.path(), 2, how).unwrap();
    rig.release();
    rig.push(&notes.fill(30));
    rig.shows(&notes, 8);
    rig.begin(NEW);
    let status = rig.until_status("each text was refused", |status| status["phase"] == "refused");
    assert_eq!(status["second"]["documents_failed"], 30, "{status}");
    let (status, refused) = rig.post("/upgrade/switch", &json!({}));
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("documents_failed"))
    );
    rig.shows(&notes, 8);
    let (status, switched) = rig.post("/upgrade/switch", &json!({"force": true}));
    assert_eq!((status, &switched["phase"]), (200, &json!("switched")));
    assert_eq!(rig.snapshot().vectors(), 0);
    rig.upgrade("rollback");
    rig.shows(&notes, 8);
    rig.stop();
}

#[test]
fn a_node_starts_without_a_second_set_whose_model_is_gone_and_not_without_one_that_answers() {
    let data = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let missing = How {
        missing: Some(16),
        ..How::default()
    };
    for is_complete in [false, true] {
        let rig = Rig::start(OLD, data.path(), 2);
        rig.push(&notes.fill(600));
        rig.shows(&notes, 8);
        rig.begin(NEW);
        if is_complete {
            rig.release();
            rig.complete();
        }
        rig.stop();
        let rig = Rig::start_where(OLD, data.path(), 2, missing).unwrap();
        rig.nothing_corrected();
        assert_eq!(rig.status()["phase"], "none");
        rig.push(&notes.change(&mut Random::new(7), 20));
        rig.shows(&notes, 8);
        rig.stop();
    }
    let rig = Rig::start(OLD, data.path(), 2);
    rig.release();
    rig.begin(NEW);
    rig.complete();
    rig.upgrade("switch");
    rig.stop();
    let refused = Rig::start_where(OLD, data.path(), 2, missing)
        .err()
        .unwrap_or_default();
    assert!(
        refused.contains("it is not there") && refused.contains("rollback"),
        "{refused}"
    );
}

#[test]
fn what_a_web_page_can_send_begins_nothing_and_texts_go_to_no_unknown_host() {
    let data = tempfile::tempdir().unwrap();
    let rig = Rig::start(OLD, data.path(), 1);
    let (status, refused) = rig.post_text("/upgrade", r#"{"model": "default"}"#);
    assert_eq!(
        (status, &refused["error"]["code"]),
        (415, &json!("unsupported_type"))
    );
    let model = r#"model = { url = "http://127.0.0.1:9/v1", api = "openai", name = "a", dimensions = 8, key_env = "HOME" }"#;
    let (status, refused) = rig.post("/upgrade", &json!({ "embedder": model }));
    assert_eq!(
        (status, &refused["error"]["code"]),
        (403, &json!("model_not_allowed"))
    );
    assert!(refused["error"]["hint"].is_string(), "{refused}");
    assert_eq!(rig.status()["phase"], "none");
    rig.stop();
}

#[test]
fn a_person_changes_the_model_by_the_command_line_and_a_crash_changes_nothing() {
    let (folder, data) = (tempfile::tempdir().unwrap(), new_data_dir());
    let path = folder.path().join("notes.toml");
    std::fs::write(&path, dataflow(OLD)).unwrap();
    let mut notes = Notes::default();
    let lines = notes.fill(3_000);
    let node = Served::start_in(&data, &path);
    let (status, _) = node.post("/v1/tables/notes/changes?wait=visible", lines);
    assert_eq!(status, 200);
    let model = |node: &Served, more: &[&str]| {
        let mut arguments = vec!["model"];
        arguments.extend(more);
        arguments.extend(["notes", "--url", node.url()]);
        millpond(&arguments)
    };
    node.search("notes", &json!({"query": "note number7"}));
    let begun = model(&node, &["upgrade", "--model", "default", "--detach"]).success();
    assert!(begun.contains("default: hash-8@1 answers"), "{begun}");
    node.kill();

    let node = Served::start_in(&data, &path);
    let upgrade = "/v1/indexes/notes/upgrade";
    node.until(upgrade, "it is complete", |(_, status)| {
        status["phase"] == "complete"
    });
    assert!(model(&node, &["status"]).success().contains("is complete"));
    node.kill();
    let node = Served::start_in(&data, &path);
    let queries = folder.path().join("queries");
    std::fs::write(&queries, "note number7\n\nnote number8\n").unwrap();
    let compared = model(&node, &["compare", "--queries", queries.to_str().unwrap()]).success();
    assert_eq!(compared.lines().count(), 4, "{compared}");
    assert!(compared.contains("2 queries"), "{compared}");
    let switched = model(&node, &["switch"]).success();
    assert!(switched.contains("was before"), "{switched}");
    let answers = |node: &Served| {
        let asked = json!({"query": "note number7", "mode": "vector", "limit": 5});
        node.search("notes", &asked)["hits"].clone()
    };
    let by_new = answers(&node);
    node.kill();

    let node = Served::start_in(&data, &path);
    assert_eq!(answers(&node), by_new);
    model(&node, &["rollback"]).success();
    assert_ne!(answers(&node), by_new);
    model(&node, &["switch"]).success();
    node.kill();
    let node = Served::start_in(&data, &path);
    assert_eq!(answers(&node), by_new);
    let dropped = model(&node, &["drop"]).success();
    assert!(
        dropped.starts_with("default: ") && !dropped.contains("hash"),
        "{dropped}"
    );
    let log = node.kill();
    assert!(log.contains("dataflow file's [embedder]"), "{log}");

    std::fs::write(&path, dataflow("model = \"default\"")).unwrap();
    let node = Served::start_in(&data, &path);
    assert_eq!(answers(&node), by_new);
    let metrics = node.get_text("/metrics").1;
    for name in [
        "millpond_texts_embedded_total",
        "millpond_documents_corrected_total",
    ] {
        assert_eq!(sample(&metrics, name), 0.0, "{name}");
    }
    // Followed to its end, and switched at once.
    let ended = model(&node, &["upgrade", "--embedder", OLD, "--switch"]);
    assert!(ended.stderr.contains("3000 of 3000 texts"), "{}", ended.stderr);
    assert!(ended.success().contains("default: hash-8@1 answers"));
    let refused = model(&node, &["switch"]).failure();
    assert!(
        refused.contains("switched already") && refused.contains("rollback"),
        "{refused}"
    );
    assert_eq!(node.stop(Signal::TERM).0, 0);
}
