//! Runbooks like those of the streaming track, for sets of our own size, as text in its format.

use std::fmt::Write;

/// Inserts half of the vectors, then deletes the oldest as it inserts the rest, and searches after each step.
///
/// The pattern of `msturing-10M_slidingwindow`.
pub fn sliding_window(set: &str, rows: usize, steps: usize) -> String {
    let mut book = Book::new(set);
    let batch = rows / steps;
    for step in 0..steps {
        if step >= steps / 2 {
            let oldest = step - steps / 2;
            book.range("delete", oldest * batch, (oldest + 1) * batch);
        }
        book.range("insert", step * batch, (step + 1) * batch);
        if step + 1 >= steps / 2 {
            book.search();
        }
    }
    book.text
}

/// Inserts vectors that are later replaced, and later still deleted: some never, some late, most soon.
///
/// The pattern of `wikipedia-1M_expiration_time_replace_delete`: of each batch 50 to 90 % are inserted, the rest are kept to
/// replace the first of them after half of their time.
pub fn replace_delete(
    set: &str,
    rows: usize,
    steps: usize,
    mut random_below: impl FnMut(usize) -> usize,
) -> String {
    let mut book = Book::new(set);
    let batch = rows / steps;
    let mut replaces = vec![Vec::new(); steps];
    let mut deletes = vec![Vec::new(); steps];
    for step in 0..steps {
        let start = step * batch;
        let end = start + batch * (50 + random_below(41)) / 100;
        book.range("insert", start, end);
        let life = match random_below(18) {
            0 => None,
            1..8 => Some(steps / 2),
            _ => Some(steps / 10),
        };
        // What never dies is replaced half way to the end.
        let half = life.map_or((steps - step) / 2, |life| life / 2).max(1);
        if let Some(later) = replaces.get_mut(step + half) {
            later.push((start, end, start + batch));
        }
        if let Some(later) = life.and_then(|life| deletes.get_mut(step + life)) {
            later.push((start, end));
        }
        for (start, end) in &deletes[step] {
            book.range("delete", *start, *end);
        }
        for (tags, ids, ids_end) in &replaces[step] {
            book.replace(*tags, *ids, ids_end - ids);
        }
        book.search();
    }
    book.text
}

struct Book {
    text: String,
    step: usize,
}

impl Book {
    fn new(set: &str) -> Book {
        Book {
            text: format!("{set}:\n"),
            step: 0,
        }
    }

    fn range(&mut self, operation: &str, start: usize, end: usize) {
        self.fields(operation, &[("start", start), ("end", end)]);
    }

    fn replace(&mut self, tags: usize, ids: usize, count: usize) {
        let fields = [
            ("tags_start", tags),
            ("tags_end", tags + count),
            ("ids_start", ids),
            ("ids_end", ids + count),
        ];
        self.fields("replace", &fields);
    }

    fn search(&mut self) {
        self.fields("search", &[]);
    }

    fn fields(&mut self, operation: &str, fields: &[(&str, usize)]) {
        self.step += 1;
        let step = self.step;
        let mut write = |line: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = self.text.write_fmt(line);
        };
        write(format_args!("  {step}:\n    operation: {operation}\n"));
        for (key, value) in fields {
            write(format_args!("    {key}: {value}\n"));
        }
    }
}
