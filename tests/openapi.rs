//! The description of the port, against the port: a schema tester sends what it allows, and what it forbids.

use std::process::Command;

use crate::binary::repository;
use crate::security::rig::{Port, dataflow, row};

/// Runs a script that needs a package, and gives what it prints; `None`, with the reason printed, where Python or the package
/// is missing. `MILLPOND_PYTHON` names another interpreter than `python3`.
pub fn python(package: &str, script: &str, arguments: &[&str]) -> Option<String> {
    let python = std::env::var("MILLPOND_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let has_package = Command::new(&python)
        .args(["-c", &format!("import {package}")])
        .output();
    if !has_package.is_ok_and(|ran| ran.status.success()) {
        println!("skipped: {python} has no package {package}");
        return None;
    }
    let ran = Command::new(&python)
        .arg(repository(script))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{script} failed:\n{said}\n{complaints}");
    Some(said.into_owned())
}

/// Needs the package `schemathesis`, and takes a minute.
#[test]
fn the_port_answers_as_its_description_says() {
    let port = Port::open(&dataflow(""));
    let rows: Vec<_> = (1..=200)
        .map(|id| {
            let name = ["red shoe", "blue shoe", "green hat"][id % 3];
            row(id, ["acme", "zeta"][id % 2], name, id as f64)
        })
        .collect();
    port.push("", &rows);
    let url = format!("http://{}", port.address);
    if let Some(said) = python("schemathesis", "tests/openapi/run.py", &[&url]) {
        println!("{said}");
        let stats = port.get("/v1/indexes/shop/stats", "");
        assert_eq!(stats.status, 200, "{}", stats.body);
    }
}
