//! Which words of a query also mean others, in the terms of one text column.

use std::collections::HashMap;

use super::analysis::{Analysis, QueryWord};
use crate::definition::Synonyms;

/// Terms one behind the other.
type Terms = Vec<String>;

/// The rules of an index, by the first term that they look for.
#[derive(Default)]
pub(super) struct SynonymRules(HashMap<String, Vec<Rule>>);

struct Rule {
    from: Terms,
    to: Vec<Terms>,
}

/// Words of a query, and terms that mean the same.
pub(super) struct Meant<'a> {
    pub words: &'a [QueryWord],
    pub terms: &'a [String],
}

impl SynonymRules {
    /// What analysis leaves nothing of has no synonyms.
    pub fn new(synonyms: &[Synonyms], analysis: &Analysis) -> SynonymRules {
        let terms = |text: &String| -> Option<Terms> {
            let mut terms = Terms::new();
            analysis.query_words(text, &mut |word| terms.extend(word.terms));
            Some(terms).filter(|terms| !terms.is_empty())
        };
        let mut rules = SynonymRules::default();
        for synonyms in synonyms {
            match synonyms {
                Synonyms::OneWay(from, to) => rules.add(terms(from), terms(to).into_iter().collect()),
                Synonyms::Equal(words) => {
                    let words: Vec<Terms> = words.iter().filter_map(terms).collect();
                    for from in &words {
                        let others = words.iter().filter(|to| *to != from).cloned().collect();
                        rules.add(Some(from.clone()), others);
                    }
                }
            }
        }
        rules
    }

    fn add(&mut self, from: Option<Terms>, to: Vec<Terms>) {
        if let Some(from) = from.filter(|_| !to.is_empty())
            && let Some(first) = from.first()
        {
            self.0.entry(first.clone()).or_default().push(Rule { from, to });
        }
    }

    /// Everything that the words of a query also mean.
    pub fn meant<'a>(&'a self, words: &'a [QueryWord]) -> impl Iterator<Item = Meant<'a>> {
        let starts = (0..words.len()).filter_map(|start| {
            let word = words.get(start)?;
            Some((start, self.0.get(word.terms.first()?)?))
        });
        starts.flat_map(move |(start, rules)| {
            let here = rules
                .iter()
                .filter_map(move |rule| Some((rule, covered(&words[start..], &rule.from)?)));
            here.flat_map(|(rule, words)| rule.to.iter().map(move |terms| Meant { words, terms }))
        })
    }
}

/// The words at the start that consist of exactly these terms.
fn covered<'a>(words: &'a [QueryWord], terms: &[String]) -> Option<&'a [QueryWord]> {
    let mut rest = terms;
    for (number, word) in words.iter().enumerate() {
        rest = rest.strip_prefix(&*word.terms)?;
        if rest.is_empty() {
            return words.get(..=number);
        }
    }
    None
}
