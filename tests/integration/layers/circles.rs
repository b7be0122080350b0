//! Circles of arrows: files of which none can be read before the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::imports::Arrow;

/// For each file that lies on a circle the shortest one through it, as the arrows that make it; each circle once.
pub fn circles(arrows: &[Arrow]) -> Vec<Vec<&Arrow>> {
    let mut out: BTreeMap<&str, Vec<&Arrow>> = BTreeMap::new();
    for arrow in arrows {
        out.entry(&arrow.from).or_default().push(arrow);
    }
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for start in out.keys() {
        let Some(circle) = shortest_way_back(start, &out) else { continue };
        let files: BTreeSet<&str> = circle.iter().map(|arrow| arrow.from.as_str()).collect();
        if seen.insert(files) {
            found.push(circle);
        }
    }
    found
}

fn shortest_way_back<'a>(
    start: &str,
    out: &BTreeMap<&str, Vec<&'a Arrow>>,
) -> Option<Vec<&'a Arrow>> {
    let mut reached: BTreeMap<&str, &'a Arrow> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for arrow in out.get(file).into_iter().flatten() {
            if reached.contains_key(arrow.to.as_str()) {
                continue;
            }
            reached.insert(&arrow.to, arrow);
            if arrow.to == start {
                return Some(way_to(start, &reached));
            }
            queue.push_back(&arrow.to);
        }
    }
    None
}

/// From `start` round to itself.
fn way_to<'a>(start: &str, reached: &BTreeMap<&str, &'a Arrow>) -> Vec<&'a Arrow> {
    let mut way = vec![reached[start]];
    while way[way.len() - 1].from != start {
        way.push(reached[way[way.len() - 1].from.as_str()]);
    }
    way.reverse();
    way
}
