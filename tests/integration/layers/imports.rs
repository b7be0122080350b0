//! Which file names what of which other file: every `use` and every path, also in macros, in attributes and through
//! re-exports.
//!
//! An arrow leads to the file in which a thing is defined, however it is reached. `mod x;` is no arrow, nor is a
//! re-export by a module of what lies in its own folder: that says only where things are.

use std::collections::BTreeMap;
use std::path::Path;

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::Visit;
use syn::{Ident, UseTree, Visibility};

/// One file names something of another one. Files are paths below `src`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: String,
    pub to: String,
    pub line: usize,
    /// The path as it is written.
    pub path: String,
}

/// Files of Rust, as path below `src` and text.
pub type Sources = BTreeMap<String, String>;

type Segments = Vec<String>;

/// A module and what its names stand for.
#[derive(Default)]
struct Module {
    file: String,
    imported: BTreeMap<String, Segments>,
}

struct Mention {
    file: String,
    module: Segments,
    line: usize,
    path: Segments,
    is_reexport: bool,
}

#[derive(Default)]
struct Crate {
    modules: BTreeMap<Segments, Module>,
    mentions: Vec<Mention>,
}

/// All arrows between these files.
pub fn arrows(sources: &Sources) -> Vec<Arrow> {
    let mut read = Crate::default();
    // The root is there, whether or not its file names anything.
    read.modules.insert(Segments::new(), Module { file: ROOT.to_owned(), ..Module::default() });
    for (file, text) in sources {
        let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("src/{file}: {error}"));
        let module = module_of(file);
        read.modules.entry(module.clone()).or_default().file.clone_from(file);
        Reader { read: &mut read, file, module }.visit_file(&parsed);
    }
    let mut arrows: Vec<_> =
        read.mentions.iter().filter_map(|mention| read.arrow(mention)).collect();
    arrows.sort();
    arrows.dedup();
    arrows
}

fn module_of(file: &str) -> Segments {
    let path = Path::new(file).with_extension("");
    let segments: Segments =
        path.iter().map(|segment| segment.to_string_lossy().into_owned()).collect();
    if segments == ["lib"] { Vec::new() } else { segments }
}

struct Reader<'a> {
    read: &'a mut Crate,
    file: &'a str,
    module: Segments,
}

impl Reader<'_> {
    fn mention(&mut self, path: Segments, line: usize, is_reexport: bool) {
        let (file, module) = (self.file.to_owned(), self.module.clone());
        self.read.mentions.push(Mention { file, module, line, path, is_reexport });
    }

    /// Paths in what a macro or an attribute is given, which is no syntax tree yet.
    fn read_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<Ident> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                }
                TokenTree::Ident(ident) if colons == 2 => {
                    path.push(ident);
                    colons = 0;
                }
                other => {
                    self.mention_tokens(&std::mem::take(&mut path));
                    colons = 0;
                    match other {
                        TokenTree::Ident(ident) => path.push(ident),
                        TokenTree::Group(group) => self.read_tokens(group.stream()),
                        TokenTree::Punct(_) | TokenTree::Literal(_) => {}
                    }
                }
            }
        }
        self.mention_tokens(&path);
    }

    fn mention_tokens(&mut self, path: &[Ident]) {
        if let [first, _, ..] = path {
            let line = first.span().start().line;
            self.mention(path.iter().map(Ident::to_string).collect(), line, false);
        }
    }

    fn read_use(&mut self, tree: &UseTree, mut prefix: Segments, is_reexport: bool) {
        let (ident, name) = match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                return self.read_use(&path.tree, prefix, is_reexport);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.read_use(tree, prefix.clone(), is_reexport);
                }
                return;
            }
            UseTree::Glob(glob) => {
                return self.mention(prefix, glob.star_token.spans[0].start().line, is_reexport);
            }
            UseTree::Name(name) => (&name.ident, None),
            UseTree::Rename(name) => (&name.ident, Some(name.rename.to_string())),
        };
        if ident != "self" {
            prefix.push(ident.to_string());
        }
        let name = name.or_else(|| prefix.last().cloned()).unwrap_or_default();
        let module = self.read.modules.entry(self.module.clone()).or_default();
        module.imported.insert(name, prefix.clone());
        self.mention(prefix, ident.span().start().line, is_reexport);
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.content.is_none() {
            return;
        }
        self.module.push(module.ident.to_string());
        let file = self.file.to_owned();
        self.read.modules.entry(self.module.clone()).or_default().file = file;
        syn::visit::visit_item_mod(self, module);
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        self.read_use(&item.tree, Vec::new(), is_reexport);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let line = path.segments[0].ident.span().start().line;
            let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.mention(segments, line, false);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.visit_path(&called.path);
        self.read_tokens(called.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.read_tokens(list.tokens.clone());
        }
    }

    // `pub(in crate::room)` says who may look, and names nothing.
    fn visit_visibility(&mut self, _visibility: &'ast Visibility) {}
}

impl Crate {
    fn arrow(&self, mention: &Mention) -> Option<Arrow> {
        let absolute = self.absolute(&mention.module, &mention.path, 0)?;
        let to = self.home(&absolute, 0)?;
        let own_folder = mention.module.as_slice();
        let says_only_where = mention.is_reexport && absolute.starts_with(own_folder);
        if to == mention.file || says_only_where {
            return None;
        }
        let path = mention.path.join("::");
        Some(Arrow { from: mention.file.clone(), to, line: mention.line, path })
    }

    /// A path as it is counted from the crate's root; none where it leads out of the crate.
    fn absolute(&self, module: &[String], path: &[String], depth: usize) -> Option<Segments> {
        let (mut base, mut rest) = (module.to_vec(), path);
        match path.first()?.as_str() {
            "crate" | "imagedepot" => (base, rest) = (Vec::new(), &path[1..]),
            "self" => rest = &path[1..],
            "super" => {
                while rest.first().is_some_and(|segment| segment == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            first => {
                let child = [module, &path[..1]].concat();
                if !self.modules.contains_key(&child) {
                    let target = self.modules.get(module)?.imported.get(first)?;
                    if depth > MOST_STEPS || target.as_slice() == &path[..1] {
                        return None;
                    }
                    base = self.absolute(module, target, depth + 1)?;
                    rest = &path[1..];
                }
            }
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// The file in which the thing at the end of a path is defined.
    fn home(&self, path: &[String], depth: usize) -> Option<String> {
        let is_module = |length: &usize| self.modules.contains_key(&path[..*length]);
        let length = (0..=path.len()).take_while(is_module).last()?;
        let module = self.modules.get(&path[..length])?;
        if let Some(target) = path.get(length).and_then(|name| module.imported.get(name))
            && depth < MOST_STEPS
            && let Some(mut absolute) = self.absolute(&path[..length], target, 0)
        {
            absolute.extend_from_slice(&path[length + 1..]);
            if absolute != path {
                return self.home(&absolute, depth + 1);
            }
        }
        Some(module.file.clone())
    }
}

const ROOT: &str = "lib.rs";

/// Through so many re-exports a name is followed.
const MOST_STEPS: usize = 16;
