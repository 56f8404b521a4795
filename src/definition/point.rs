//! Places on the earth: how a value says one, how far two are apart, and which lie in a box.

use std::f64::consts::FRAC_PI_2;

use serde_json::Value as Json;

use crate::change::DatumRef;

/// The mean radius of the WGS84 ellipsoid.
const EARTH_RADIUS_METRES: f64 = 6_371_008.8;

/// A place, in degrees: latitude -90 to 90, longitude -180 to 180.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub lat: f64,
    pub lon: f64,
}

/// Between two latitudes and two longitudes, borders included. With `west` beyond `east` it crosses the date line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct GeoBox {
    pub south: f64,
    pub west: f64,
    pub north: f64,
    pub east: f64,
}

impl Point {
    pub fn new(lat: f64, lon: f64) -> Option<Point> {
        // Adding zero turns -0 into 0: they are equal, but differ in a column's order.
        let point = Point {
            lat: lat + 0.0,
            lon: lon + 0.0,
        };
        ((-90.0..=90.0).contains(&lat) && (-180.0..=180.0).contains(&lon)).then_some(point)
    }

    /// The metres to another place over the surface, by the haversine formula.
    pub fn metres_to(self, other: Point) -> f64 {
        let half_chord = |degrees: f64| (degrees.to_radians() / 2.0).sin().powi(2);
        let across = half_chord(other.lat - self.lat)
            + self.lat.to_radians().cos() * other.lat.to_radians().cos() * half_chord(other.lon - self.lon);
        2.0 * EARTH_RADIUS_METRES * across.sqrt().min(1.0).asin()
    }
}

impl GeoBox {
    pub const EARTH: GeoBox = GeoBox {
        south: -90.0,
        west: -180.0,
        north: 90.0,
        east: 180.0,
    };

    /// A box that holds every place within so many metres, and some others.
    pub fn around(center: Point, metres: f64) -> GeoBox {
        /// Degrees, far more than rounding and far less than a metre matters.
        const MARGIN: f64 = 1e-7;
        let angle = metres.max(0.0) / EARTH_RADIUS_METRES;
        let (south, north) = (
            center.lat - angle.to_degrees() - MARGIN,
            center.lat + angle.to_degrees() + MARGIN,
        );
        // Around a pole are all longitudes.
        let half_width = if angle < FRAC_PI_2 && south > -90.0 && north < 90.0 {
            (angle.sin() / center.lat.to_radians().cos())
                .min(1.0)
                .asin()
                .to_degrees()
                + MARGIN
        } else {
            180.0
        };
        let (mut west, mut east) = (-180.0, 180.0);
        // Close to a pole the quotient above is ill-conditioned; there a box gains nothing either.
        if half_width < 80.0 {
            (west, east) = (center.lon - half_width, center.lon + half_width);
            if west < -180.0 {
                west += 360.0;
            }
            if east > 180.0 {
                east -= 360.0;
            }
        }
        GeoBox {
            south,
            west,
            north,
            east,
        }
    }

    pub fn contains(&self, point: Point) -> bool {
        let between = if self.west <= self.east {
            self.west <= point.lon && point.lon <= self.east
        } else {
            point.lon >= self.west || point.lon <= self.east
        };
        self.south <= point.lat && point.lat <= self.north && between
    }
}

/// Calls `each` with every place that a value says; whether all of it could be read.
///
/// A place is `{"lat": .., "lon": ..}`, `[lon, lat]` as in GeoJSON, or the text `"lat,lon"`; several are an array of these.
pub(crate) fn read<'a>(value: impl Into<DatumRef<'a>>, each: &mut dyn FnMut(Point)) -> bool {
    let text = match value.into() {
        DatumRef::Text(text) | DatumRef::Json(text) => text,
        _ => return false,
    };
    if !text.trim_start().starts_with(['{', '[', '"']) {
        return of_pair(text).map(each).is_some();
    }
    let Ok(json) = serde_json::from_str::<Json>(text) else {
        return false;
    };
    match &json {
        Json::Array(list) if !list.first().is_some_and(Json::is_number) => {
            let mut whole = true;
            for place in list.iter().filter(|place| !place.is_null()) {
                match of_json(place) {
                    Some(place) => each(place),
                    None => whole = false,
                }
            }
            whole
        }
        place => of_json(place).map(each).is_some(),
    }
}

fn of_json(json: &Json) -> Option<Point> {
    match json {
        Json::Object(object) => Point::new(degrees(object.get("lat")?)?, degrees(object.get("lon")?)?),
        Json::Array(pair) => match &pair[..] {
            [lon, lat] => Point::new(degrees(lat)?, degrees(lon)?),
            _ => None,
        },
        Json::String(text) => of_pair(text),
        _ => None,
    }
}

fn degrees(json: &Json) -> Option<f64> {
    match json {
        Json::String(text) => text.trim().parse().ok(),
        number => number.as_f64(),
    }
}

fn of_pair(text: &str) -> Option<Point> {
    let (lat, lon) = text.split_once(',')?;
    Point::new(lat.trim().parse().ok()?, lon.trim().parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::Datum;

    fn point(lat: f64, lon: f64) -> Point {
        Point::new(lat, lon).unwrap()
    }

    fn points(value: &Datum) -> Option<Vec<Point>> {
        let mut points = Vec::new();
        read(value, &mut |point| points.push(point)).then_some(points)
    }

    #[test]
    fn a_place_is_read_from_all_that_says_one() {
        let berlin = vec![point(52.52, 13.405)];
        for json in [
            r#"{"lat":52.52,"lon":13.405}"#,
            r#"{"lon":"13.405","lat":"52.52"}"#,
            "[13.405, 52.52]",
            r#""52.52,13.405""#,
        ] {
            assert_eq!(points(&Datum::Json(json.into())), Some(berlin.clone()), "{json}");
        }
        assert_eq!(points(&Datum::text(" 52.52 , 13.405")), Some(berlin.clone()));
        assert_eq!(
            points(&Datum::Json(r#"[[13.405,52.52],null,"1,2"]"#.into())),
            Some(vec![berlin[0], point(1.0, 2.0)])
        );
        assert_eq!(points(&Datum::Json("[]".into())), Some(vec![]));
        for wrong in [
            "",
            "52.52",
            "91,0",
            "0,181",
            "NaN,0",
            r#"{"lat":1}"#,
            "[1,2,3]",
            "[1",
            r#"["x"]"#,
        ] {
            assert_eq!(points(&Datum::text(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn distances_are_those_of_the_sphere() {
        let check = |from: Point, to: Point, metres: f64| {
            let found = from.metres_to(to);
            assert!((found - metres).abs() < metres * 1e-6 + 1e-6, "{found} {metres}");
            assert_eq!(found, to.metres_to(from));
        };
        // A degree of a great circle, the way round the date line, and half of the earth.
        let degree = EARTH_RADIUS_METRES.to_radians();
        check(point(0.0, 0.0), point(1.0, 0.0), degree);
        check(point(0.0, 179.5), point(0.0, -179.5), degree);
        check(point(90.0, 0.0), point(-90.0, 77.0), 180.0 * degree);
        check(point(52.52, 13.405), point(48.8566, 2.3522), 877_464.6);
    }

    #[test]
    fn a_box_may_cross_the_date_line_and_that_around_a_circle_holds_it() {
        let fiji = GeoBox {
            south: -20.0,
            west: 176.0,
            north: -15.0,
            east: -178.0,
        };
        assert!(fiji.contains(point(-17.0, 178.0)) && fiji.contains(point(-17.0, -179.0)));
        assert!(!fiji.contains(point(-17.0, 0.0)) && !fiji.contains(point(-21.0, 178.0)));
        for lat in [-90.0, -89.9, -60.0, 0.0, 45.0, 89.0, 90.0] {
            for lon in [-180.0, -179.9, 0.0, 179.99] {
                for metres in [0.0, 10.0, 5e3, 1e6, 9e6, 3e7] {
                    let center = point(lat, lon);
                    let around = GeoBox::around(center, metres);
                    for step in 0..2_000 {
                        let other = point(
                            f64::from(step % 37) * 5.0 - 90.0,
                            f64::from(step % 73) * 5.0 - 180.0,
                        );
                        let near = center.metres_to(other) <= metres;
                        assert!(!near || around.contains(other), "{center:?} {metres} {other:?}");
                    }
                }
            }
        }
    }
}
