//! The query of a search -> what each leg is asked, and how their hits become one list. Pure.
//!
//! `knn` asks the vector leg, every other query the keyword leg, `hybrid` both: its keyword queries together, and one `knn`.

use serde_json::Value;

use super::clause::{Clauses, all_of, any_of, times};
use super::keys::{Keys, one_or_several};
use super::names;
use super::refusal::{Read, Refusal};
use crate::definition::{Fusion, LegAmounts};
use crate::index::keyword::KeywordQuery;
use crate::query::{Asked, AskedNearest};

/// As OpenSearch bounds them.
const QUERIES_MAX: usize = 5;
const K_MAX: usize = 10_000;

/// What the legs are asked.
#[derive(Debug, Default, PartialEq)]
pub struct Question {
    pub asked: Asked,
    /// The vector field that is asked.
    pub using: Option<String>,
    /// The width of the graph search.
    pub ef: Option<usize>,
}

/// One `knn`, with its field.
struct Near {
    asked: AskedNearest,
    using: String,
    ef: Option<usize>,
}

impl Question {
    /// `pipeline` is the `search_pipeline` of the body.
    pub fn read(
        clauses: &mut Clauses<'_>,
        query: Option<&Value>,
        pipeline: Option<&Value>,
    ) -> Read<Question> {
        let pipeline = pipeline.map(Pipeline::read).transpose()?;
        let mut question = Question::default();
        let Some(query) = query else {
            question.asked.words = Some(KeywordQuery::All);
            return Ok(question);
        };
        match Keys::new("query", query)?.one()? {
            ("knn", body) => question.near(clauses.knn(body)?),
            ("hybrid", body) => question.hybrid(clauses, body, pipeline)?,
            _ => question.asked.words = Some(clauses.query(query)?),
        }
        Ok(question)
    }

    fn near(&mut self, near: Near) {
        self.asked.nearest = Some(near.asked);
        self.using = Some(near.using);
        self.ef = near.ef;
    }

    fn hybrid(&mut self, clauses: &mut Clauses<'_>, body: &Value, pipeline: Option<Pipeline>) -> Read<()> {
        let mut keys = Keys::new("hybrid", body)?;
        let queries = match keys.take("queries") {
            Some(Value::Array(queries)) if (1..=QUERIES_MAX).contains(&queries.len()) => queries,
            _ => {
                return Err(Refusal::parsing(format!(
                    "[hybrid] takes 1 to {QUERIES_MAX} [queries]"
                )));
            }
        };
        let filter = keys.take("filter");
        // Each leg looks as deep as the page needs, and at least 100.
        keys.count("pagination_depth")?;
        keys.end()?;

        let mut words = Vec::new();
        let mut is_near = Vec::new();
        for query in queries {
            match Keys::new("query", query)?.one()? {
                ("knn", body) if self.asked.nearest.is_none() => {
                    self.near(clauses.knn(body)?);
                    is_near.push(true);
                }
                ("knn", _) => return Err(Refusal::illegal("[hybrid] does not support more than one [knn]")),
                _ => {
                    words.push(clauses.query(query)?);
                    is_near.push(false);
                }
            }
        }
        if let Some(filter) = filter {
            let filter = clauses.query(filter)?;
            if let Some(near) = &mut self.asked.nearest {
                let own = near.among.take().into_iter();
                near.among = Some(all_of(own.chain([filter.clone()]).collect()));
            }
            let filter = times(filter, 0.0);
            words = words
                .into_iter()
                .map(|query| all_of(vec![query, filter.clone()]))
                .collect();
        }
        self.asked.words = match words.len() {
            0 | 1 => words.pop(),
            _ => Some(any_of(words)),
        };
        if let Some(pipeline) = pipeline {
            self.asked.fusion = Some(pipeline.fusion(&is_near)?);
        }
        Ok(())
    }
}

impl Clauses<'_> {
    fn knn(&mut self, body: &Value) -> Read<Near> {
        let (name, options) = Keys::new("knn", body)?.one()?;
        let mut keys = Keys::new("knn", options)?;
        let using = names::vector(self.index, name)?.to_owned();
        let numbers = match keys.take("vector") {
            Some(Value::Array(numbers)) => numbers,
            _ => return Err(Refusal::parsing("[knn] must have a [vector], a list of numbers")),
        };
        let numbers = numbers
            .iter()
            .map(|number| number.as_f64().map(|number| number as f32));
        let vector: Option<Vec<f32>> = numbers.collect();
        let vector = vector.ok_or_else(|| Refusal::parsing("[vector] of [knn] must be a list of numbers"))?;
        let k = keys
            .count("k")?
            .filter(|k| (1..=K_MAX).contains(k))
            .ok_or_else(|| Refusal::illegal(format!("[knn] requires [k], 1 to {K_MAX}")))?;
        let among = keys.take("filter").map(|filter| self.query(filter)).transpose()?;
        keys.only("boost", &[1.into(), 1.0.into()])?;
        let ef = match keys.take("method_parameters") {
            None => None,
            Some(parameters) => {
                let mut parameters = Keys::new("method_parameters", parameters)?;
                let ef = parameters.count("ef_search")?;
                parameters.end()?;
                ef
            }
        };
        keys.end()?;
        let asked = AskedNearest { vector, k, among };
        Ok(Near { asked, using, ef })
    }
}

/// How the answers of a hybrid query are put together.
enum Pipeline {
    Mean(Option<Vec<f32>>),
    Rrf { k: f32, weights: Option<Vec<f32>> },
}

impl Pipeline {
    fn read(value: &Value) -> Read<Pipeline> {
        if value.is_string() {
            return Err(Refusal::illegal(
                "[search_pipeline] by name is not supported: give the pipeline itself in the body",
            ));
        }
        let mut keys = Keys::new("search_pipeline", value)?;
        keys.take("description");
        let processors = keys
            .take("phase_results_processors")
            .map_or(&[][..], one_or_several);
        keys.end()?;
        let [processor] = processors else {
            return Err(Refusal::illegal(format!(
                "[search_pipeline] has {} [phase_results_processors]: one is supported",
                processors.len()
            )));
        };
        match Keys::new("phase_results_processors", processor)?.one()? {
            ("normalization-processor", body) => {
                let mut keys = described("normalization-processor", body)?;
                technique(keys.take("normalization"), "normalization", "min_max")?;
                let combination = keys.take("combination");
                keys.end()?;
                let (weights, rest) = technique(combination, "combination", "arithmetic_mean")?;
                rest.map_or(Ok(()), Keys::end)?;
                Ok(Pipeline::Mean(weights))
            }
            ("score-ranker-processor", body) => {
                let mut keys = described("score-ranker-processor", body)?;
                let combination = keys.take("combination");
                keys.end()?;
                let (weights, rest) = technique(combination, "combination", "rrf")?;
                let k = match rest {
                    None => None,
                    Some(mut rest) => {
                        let k = rest.number("rank_constant")?;
                        rest.end()?;
                        k
                    }
                };
                match k.unwrap_or(60.0) {
                    k if (1.0..=10_000.0).contains(&k) => Ok(Pipeline::Rrf { k: k as f32, weights }),
                    _ => Err(Refusal::illegal("[rank_constant] must be 1 to 10000")),
                }
            }
            (other, _) => Err(Refusal::illegal(format!(
                "[search_pipeline] does not support [{other}]"
            ))),
        }
    }

    /// `is_near`: which of the queries is the `knn`.
    fn fusion(self, is_near: &[bool]) -> Read<Fusion> {
        let (Pipeline::Mean(weights) | Pipeline::Rrf { weights, .. }) = &self;
        let weights = match weights {
            None => vec![1.0; is_near.len()],
            Some(weights) if weights.len() == is_near.len() => weights.clone(),
            Some(weights) => {
                return Err(Refusal::illegal(format!(
                    "[weights] has {} numbers for {} queries",
                    weights.len(),
                    is_near.len()
                )));
            }
        };
        let of = |near: bool| -> Vec<f32> {
            let pairs = weights.iter().zip(is_near);
            pairs
                .filter(|(_, is_near)| **is_near == near)
                .map(|(weight, _)| *weight)
                .collect()
        };
        let (keyword, vector) = (of(false), of(true));
        if keyword.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(Refusal::illegal(
                "[weights] of the queries beside [knn] must be equal: they are asked as one",
            ));
        }
        let weights = LegAmounts {
            keyword: keyword.iter().sum(),
            vector: vector.iter().sum(),
        };
        Ok(match self {
            Pipeline::Mean(_) => Fusion::Mean(weights),
            Pipeline::Rrf { k, .. } => Fusion::Rrf {
                k,
                weights,
                window: None,
            },
        })
    }
}

fn described<'v>(of: &'v str, body: &'v Value) -> Read<Keys<'v>> {
    let mut keys = Keys::new(of, body)?;
    keys.take("tag");
    keys.take("description");
    Ok(keys)
}

/// The weights of a technique, which must be the one that is supported, and what else it has.
fn technique<'v>(
    value: Option<&'v Value>,
    of: &'static str,
    supported: &str,
) -> Read<(Option<Vec<f32>>, Option<Keys<'v>>)> {
    let Some(value) = value else {
        return Ok((None, None));
    };
    let mut keys = Keys::new(of, value)?;
    match keys.text("technique")? {
        None => {}
        Some(name) if name == supported => {}
        Some(name) => {
            return Err(Refusal::illegal(format!(
                "[{of}] does not support the technique [{name}]: there is {supported}"
            )));
        }
    }
    let Some(parameters) = keys.take("parameters") else {
        return Ok((None, Some(keys)));
    };
    let mut parameters = Keys::new("parameters", parameters)?;
    let weights = match parameters.take("weights") {
        None => None,
        Some(Value::Array(weights)) => {
            let weights = weights.iter().map(|weight| {
                let weight = weight.as_f64().filter(|weight| (0.0..=1.0).contains(weight));
                weight.map(|weight| weight as f32)
            });
            let weights: Option<Vec<f32>> = weights.collect();
            let sums_to_one = |weights: &Vec<f32>| (weights.iter().sum::<f32>() - 1.0).abs() < 1e-3;
            let weights = weights.filter(sums_to_one);
            Some(weights.ok_or_else(|| Refusal::illegal("[weights] must be 0 to 1 and add up to 1"))?)
        }
        Some(_) => return Err(Refusal::parsing("[weights] must be a list of numbers")),
    };
    parameters.end()?;
    Ok((weights, Some(keys)))
}
