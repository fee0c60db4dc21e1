//! The table of layers in the documentation of `src/lib.rs`, which is the one place where they are declared.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// The layer of each module that the table names, by the path of the module, and the first of the modules that stand
/// together with a `+`.
pub struct Layers(BTreeMap<Vec<String>, (u8, Vec<String>)>);

impl Layers {
    /// Reads the rows: `//! | 2 | [`a`], [`b::c`] | what they are |`.
    pub fn parse(lib: &str) -> Layers {
        let mut layers = BTreeMap::new();
        for line in lib.lines() {
            let mut cells = line.trim_start_matches("//!").split('|').map(str::trim).skip(1);
            let (Some(layer), Some(modules)) = (cells.next(), cells.next()) else { continue };
            let Ok(layer) = layer.parse() else { continue };
            for unit in modules.split(',') {
                let names = unit.split('`').skip(1).step_by(2);
                let paths: Vec<Vec<String>> =
                    names.map(|name| name.split("::").map(String::from).collect()).collect();
                for path in &paths {
                    let twice = layers.insert(path.clone(), (layer, paths[0].clone()));
                    assert_eq!(twice, None, "`{}` is in the table twice", path.join("::"));
                }
            }
        }
        Layers(layers)
    }

    /// The module of the table that holds `path`, and its layer.
    pub fn unit(&self, path: &[String]) -> Option<(&[String], u8)> {
        (1..=path.len()).rev().find_map(|len| {
            let (layer, unit) = self.0.get(&path[..len])?;
            Some((unit.as_slice(), *layer))
        })
    }

    /// The modules of the table.
    pub fn modules(&self) -> impl Iterator<Item = &[String]> {
        self.0.keys().map(Vec::as_slice)
    }

    /// Every import from a higher layer, and every pair of modules of one layer that need each other.
    pub fn faults(&self, sources: &[Source]) -> Vec<String> {
        let mut faults = Vec::new();
        let mut beside: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
        for source in sources {
            let Some((from, layer)) = self.unit(&source.module) else { continue };
            for path in source.paths() {
                let Some((to, above)) = self.unit(&path) else { continue };
                if above > layer {
                    faults.push(format!(
                        "{}: layer {layer} imports `{}` of layer {above}",
                        source.path,
                        path.join("::")
                    ));
                } else if above == layer && to != from {
                    beside.entry(from).or_default().insert(to);
                }
            }
        }
        for &start in beside.keys() {
            if reaches(&beside, start) {
                faults.push(format!("`{}` needs itself by way of its neighbours", start.join("::")));
            }
        }
        faults
    }
}

/// Whether a way along the edges leads from `start` back to it.
fn reaches<'a>(edges: &BTreeMap<&'a [String], BTreeSet<&'a [String]>>, start: &'a [String]) -> bool {
    let (mut seen, mut todo) = (BTreeSet::new(), vec![start]);
    while let Some(node) = todo.pop() {
        for &next in edges.get(node).into_iter().flatten() {
            if next == start {
                return true;
            }
            if seen.insert(next) {
                todo.push(next);
            }
        }
    }
    false
}

mod tests {
    use super::*;

    const TABLE: &str = "//! | layer | modules |\n//! |---|---|\n//! | 0 | [`a`], [`b`] | x |\n//! | 1 | `c::d`, [`e`] + [`h`] | `y` |";

    #[test]
    fn upward_imports_and_circles_are_found() {
        let layers = Layers::parse(TABLE);
        let source = |path, text| Source::new(path, text);
        let good = [
            source("src/a.rs", ""),
            source("src/e/f.rs", "use crate::a; use super::g; use crate::{c::d::X, h};"),
            source("src/h.rs", "use crate::e;"),
        ];
        assert_eq!(layers.faults(&good), [""; 0]);
        let bad = [
            source("src/a.rs", "use crate::{b, c::d::X};"),
            source("src/b/mod.rs", "fn f() { crate::a::g() }"),
        ];
        assert_eq!(
            layers.faults(&bad),
            [
                "src/a.rs: layer 0 imports `c::d::X` of layer 1",
                "`a` needs itself by way of its neighbours",
                "`b` needs itself by way of its neighbours",
            ]
        );
    }
}
