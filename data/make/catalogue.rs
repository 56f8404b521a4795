//! Believable products, put together from the kinds and sentences of `vocabulary.txt`.
//!
//! A line `# name` opens a category. `+` is a closing sentence for all of it or, before the first category,
//! for everything. `* noun | lowest price highest price | variants` is a kind of product, and the `-` lines after it
//! are sentences about it. `[a|b]` stands for one of them, `{brand}` for the maker.

use std::collections::BTreeSet;

use crate::random::Random;

#[derive(Clone)]
pub struct Product {
    pub name: String,
    pub brand: &'static str,
    pub description: String,
    pub category: &'static str,
    pub price_cents: u64,
}

pub struct Catalogue {
    closings: Vec<&'static str>,
    categories: Vec<Category>,
    /// Names given so far: no two products share one.
    names: BTreeSet<String>,
}

struct Category {
    name: &'static str,
    closings: Vec<&'static str>,
    kinds: Vec<Kind>,
}

struct Kind {
    noun: &'static str,
    /// The lowest and the highest price, in whole currency units.
    price: (u64, u64),
    variants: Vec<&'static str>,
    sentences: Vec<&'static str>,
}

const BRANDS: &[&str] = &[
    "Norvik",
    "Halden",
    "Brightwater",
    "Tessaro",
    "Kumara",
    "Oakhurst",
    "Velmont",
    "Pikara",
    "Lindqvist & Daughters",
    "Solenne",
    "Marrow",
    "Dovetail",
    "Fennick",
    "Arbora",
    "Quillon",
    "Stavne",
    "Morrow Lane",
    "Ketterby",
    "Zephira",
    "Ostrava Works",
    "Pellworm",
    "Juniper & Rye",
    "Caldera",
    "Wrenfield",
    "Amberly",
    "Tolvane",
    "Rookwood",
    "Sundgaard",
    "Nimbus & Co",
    "Havelock",
    "Estrella",
    "Birchmere",
    "Corvane",
    "Mistral Nord",
    "Paloma",
    "Greyfriar",
    "Lumina",
    "Vantor",
    "Elderglen",
    "Sagano",
    "Torvik",
    "Inkwell",
    "Bramble",
    "Casa Riva",
    "Polder",
    "Yarrow",
    "Ferrano",
    "Clove",
];

/// Makers at home in a category.
const BRANDS_PER_CATEGORY: usize = 10;

const LINES: &[&str] = &[
    "Fjord", "Mira", "Pico", "Alto", "Nova", "Terra", "Luna", "Duo", "Vento", "Brio", "Sola", "Kestrel",
    "Ardea", "Plus", "Classic", "Arc", "Linea", "Nord", "Vela", "Tempo",
];

impl Catalogue {
    pub fn new() -> Catalogue {
        let mut catalogue = Catalogue {
            closings: Vec::new(),
            categories: Vec::new(),
            names: BTreeSet::new(),
        };
        for line in include_str!("vocabulary.txt")
            .lines()
            .filter(|line| !line.is_empty())
        {
            let (mark, rest) = line.split_at(2);
            match mark {
                "# " => catalogue.categories.push(Category {
                    name: rest,
                    closings: Vec::new(),
                    kinds: Vec::new(),
                }),
                "+ " => match catalogue.categories.last_mut() {
                    Some(category) => category.closings.push(rest),
                    None => catalogue.closings.push(rest),
                },
                "* " => catalogue.category().kinds.push(Kind::parse(rest)),
                "- " => catalogue.kind().sentences.push(rest),
                _ => panic!("vocabulary.txt: no such mark: {line}"),
            }
        }
        catalogue
    }

    fn category(&mut self) -> &mut Category {
        self.categories
            .last_mut()
            .expect("a kind stands below a category")
    }

    fn kind(&mut self) -> &mut Kind {
        self.category()
            .kinds
            .last_mut()
            .expect("a sentence stands below a kind")
    }

    /// The next `count` products: all kinds in turn, so that each is there, in mixed order.
    pub fn products(&mut self, count: usize, random: &mut Random) -> Vec<Product> {
        let mut kinds: Vec<(usize, usize)> = Vec::new();
        for (c, category) in self.categories.iter().enumerate() {
            kinds.extend((0..category.kinds.len()).map(|k| (c, k)));
        }
        let mut products = Vec::with_capacity(count);
        while products.len() < count {
            random.shuffle(&mut kinds);
            let missing = count - products.len();
            for &(c, k) in kinds.iter().take(missing) {
                products.push(self.product(c, k, random));
            }
        }
        products
    }

    fn product(&mut self, c: usize, k: usize, random: &mut Random) -> Product {
        let category = &self.categories[c];
        let kind = &category.kinds[k];
        let home = random.range(0, BRANDS_PER_CATEGORY as u64) as usize;
        let brand = BRANDS[(c * 5 + home) % BRANDS.len()];
        let name = loop {
            let name = kind.name(brand, random);
            if self.names.insert(name.clone()) {
                break name;
            }
        };
        Product {
            name,
            brand,
            description: category.describe(kind, brand, &self.closings, random),
            category: category.name,
            price_cents: price_cents(kind.price, random),
        }
    }

    /// Another description for a product that exists.
    pub fn rewrite(&self, product: &Product, random: &mut Random) -> String {
        let kinds = self
            .categories
            .iter()
            .flat_map(|category| category.kinds.iter().map(move |kind| (category, kind)));
        let (category, kind) = kinds
            .filter(|(category, kind)| category.name == product.category && product.name.contains(kind.noun))
            .max_by_key(|(_, kind)| kind.noun.len())
            .expect("the product came from the catalogue");
        loop {
            let description = category.describe(kind, product.brand, &self.closings, random);
            if description != product.description {
                return description;
            }
        }
    }
}

impl Category {
    /// One to three sentences: one or two about the kind, sometimes a closing one.
    fn describe(&self, kind: &Kind, brand: &str, closings: &[&str], random: &mut Random) -> String {
        let mut sentences = kind.sentences.clone();
        random.shuffle(&mut sentences);
        sentences.truncate(if random.chance(80) { 2 } else { 1 });
        match random.range(0, 100) {
            0..40 => sentences.push(random.pick(&self.closings)),
            40..65 => sentences.push(random.pick(closings)),
            _ => {}
        }
        choose(&sentences.join(" "), random).replace("{brand}", brand)
    }
}

impl Kind {
    fn parse(line: &'static str) -> Kind {
        let mut parts = line.split('|').map(str::trim);
        let mut part = || parts.next().expect("noun | prices | variants");
        let noun = part();
        let (low, high) = part().split_once(' ').expect("two prices");
        let price = (low.parse().expect("a price"), high.parse().expect("a price"));
        let variants = part().split(", ").filter(|variant| !variant.is_empty()).collect();
        Kind {
            noun,
            price,
            variants,
            sentences: Vec::new(),
        }
    }

    fn name(&self, brand: &str, random: &mut Random) -> String {
        let noun = self.noun;
        let line = random.pick(LINES);
        let variant = if self.variants.is_empty() {
            ""
        } else {
            random.pick(&self.variants)
        };
        let name = match random.range(0, 10) {
            0..3 => format!("{brand} {noun} {variant}"),
            3..7 => format!("{brand} {line} {noun} {variant}"),
            _ => format!("{noun} {line} {variant} by {brand}"),
        };
        name.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Replaces each `[a|b|c]` by one of its parts.
fn choose(text: &str, random: &mut Random) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let (options, behind) = after.split_once(']').expect("a bracket that opens closes");
        let options: Vec<&str> = options.split('|').collect();
        out.push_str(before);
        out.push_str(random.pick(&options));
        rest = behind;
    }
    out + rest
}

fn price_cents((low, high): (u64, u64), random: &mut Random) -> u64 {
    // Cheap ones are more common: the lower of two draws.
    let units = random.range(low, high + 1).min(random.range(low, high + 1));
    units * 100 + random.pick(&[0, 49, 90, 95, 99])
}
