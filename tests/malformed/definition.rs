//! The text of a dataflow file: a definition that holds together, or faults that a person can read.

use std::path::Path;

use millpond::change::{Columns, Datum, DatumRef, Float, Row};
use millpond::definition::plan::Node;
use millpond::definition::{Definition, Expression, Faults, Index, VectorSource, parse};

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let read = || parse(text, "fuzz.toml", Path::new("/flows"));
    match (read(), read()) {
        (Ok(first), Ok(second)) => {
            assert_eq!(format!("{first:?}"), format!("{second:?}"));
            check_definition(&first);
        }
        (Err(first), Err(second)) => {
            assert_eq!(first.to_string(), second.to_string());
            check_faults(text, &first);
        }
        _ => panic!("right and wrong at once"),
    }
}

fn check_faults(text: &str, faults: &Faults) {
    assert!(!faults.faults.is_empty());
    let lines = 1 + text.lines().count();
    for fault in &faults.faults {
        assert!(
            fault.line.is_none_or(|line| (1..=lines).contains(&line)),
            "{fault:?}"
        );
        assert!(
            !fault.message.trim().is_empty() && !fault.message.contains('\n'),
            "{fault:?}"
        );
        assert!(
            fault.hint.as_ref().is_none_or(|hint| !hint.trim().is_empty()),
            "{fault:?}"
        );
    }
}

fn check_definition(definition: &Definition) {
    assert!(!definition.name.is_empty() && !definition.tables.is_empty());
    assert!(!definition.picture().trim().is_empty());
    for table in &definition.tables {
        assert!(!table.key.is_empty() && table.key.iter().all(|column| !column.is_empty()));
        let found = definition.table(&table.name).map(|(_, found)| &found.name);
        assert_eq!(found, Some(&table.name));
    }
    if let Some(index) = &definition.index {
        check_index(definition, index);
    }
}

fn check_index(definition: &Definition, index: &Index) {
    let count = index.plan.columns.len();
    let mut places: Vec<usize> = index.key.clone();
    places.extend(index.text.iter().map(|text| text.column));
    places.extend(index.fields.iter().map(|field| field.column));
    for field in &index.vectors {
        if let VectorSource::Column(ready_made) = &field.source {
            places.push(ready_made.column);
            places.extend(ready_made.model.iter().map(|model| model.column));
            assert!((2..=4_096).contains(&ready_made.dimensions));
        }
    }
    assert!(
        !index.key.is_empty() && places.iter().all(|place| *place < count),
        "{places:?} of {count}"
    );
    assert!(
        index
            .text
            .iter()
            .all(|text| text.boost.is_finite() && text.boost >= 0.0)
    );

    for row in rows(index) {
        let values = project(definition, &index.plan.root, &row);
        let templates = index.vectors.iter().filter_map(|field| match &field.source {
            VectorSource::Embed { template, .. } => Some(template),
            VectorSource::Column(_) => None,
        });
        for template in templates {
            let names = Columns::new(&index.plan.columns);
            let document = values.clone().map(|values| Row::new(names, values));
            let rendered = document.and_then(|document| template.render(&document));
            assert!(rendered.is_none_or(|text| !text.trim().is_empty()));
        }
        assert!(values.is_none_or(|values| values.len() == count));
    }
}

/// The document of a row, where the plan selects it.
fn project(definition: &Definition, node: &Node, row: &Row) -> Option<Vec<Datum>> {
    match node {
        Node::Table(table) => {
            assert!(usize::from(table.0) < definition.tables.len());
            Some(row.values().map(DatumRef::to_datum).collect())
        }
        Node::Filter { input, condition } => {
            condition.evaluate(row);
            project(definition, input, row).filter(|_| condition.is_true(row))
        }
        Node::Project { input, columns } => {
            project(definition, input, row)?;
            Some(columns.iter().map(|column| column.evaluate(row)).collect())
        }
    }
}

/// Rows that have every column which the plan names, each with one kind of value.
fn rows(index: &Index) -> Vec<Row> {
    let mut names = Vec::new();
    visit(&index.plan.root, &mut |expression| {
        expression.visit_columns(&mut |name| {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        });
    });
    let columns = Columns::new(&names);
    [
        Datum::Null,
        Datum::Bool(true),
        Datum::Int(i64::MIN),
        Datum::Float(Float(-0.5)),
        Datum::Decimal("18446744073709551616.50".into()),
        Datum::text("é 1e5%"),
        Datum::Bytes([0, 255].into()),
        Datum::Json("[1]".into()),
        Datum::Unavailable,
    ]
    .into_iter()
    .map(|value| Row::new(columns.clone(), vec![value; names.len()]))
    .collect()
}

fn visit(node: &Node, seen: &mut dyn FnMut(&Expression)) {
    match node {
        Node::Table(_) => {}
        Node::Filter { input, condition } => {
            seen(condition);
            visit(input, seen);
        }
        Node::Project { input, columns } => {
            columns.iter().for_each(&mut *seen);
            visit(input, seen);
        }
    }
}
