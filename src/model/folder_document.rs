//! What imagedepot itself writes into a channel's folder, beside the files of revisions: the one list of it.
//!
//! Snapshot, publication, the tree in a folder and in a bucket, HTTP, a rebuild and the names that a channel's folder may
//! have go by this list. How a document's content is made stands in `catalog/snapshot/documents.rs`.

use super::publication::{A_SHORT_WHILE, in_folder};

/// Each with its name, its content type, and what caches may do with it, wherever it is served from.
macro_rules! folder_documents {
    ($($(#[$doc:meta])* $document:ident: $name:literal, $content_type:literal, $cache_control:expr;)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum FolderDocument {
            $($(#[$doc])* $document,)+
        }

        impl FolderDocument {
            pub const ALL: &'static [Self] = &[$(Self::$document),+];

            pub const fn file_name(self) -> &'static str {
                match self { $(Self::$document => $name),+ }
            }

            pub const fn content_type(self) -> &'static str {
                match self { $(Self::$document => $content_type),+ }
            }

            pub const fn cache_control(self) -> &'static str {
                match self { $(Self::$document => $cache_control),+ }
            }
        }
    };
}

folder_documents! {
    /// What the folder holds, for readers that have nothing but the tree.
    Manifest: "channel.json", "application/json", A_SHORT_WHILE;
}

impl FolderDocument {
    /// The document of this name; none for a revision's file, and for what is somebody's own.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|document| document.file_name() == name)
    }

    /// Its path below the tree's root.
    pub fn path_in(self, folder: &str) -> String {
        in_folder(folder, self.file_name())
    }
}

/// How names of files end that stand in the tree, or are to come.
const ENDINGS: [&str; 5] = [".ckm", ".index", ".json", ".jws", ".chunks"];

/// Whether a channel's folder of this name could stand in the place of a file of the tree. Windows' names have no case.
pub fn is_file_like(folder: &str) -> bool {
    let mut documents = FolderDocument::ALL.iter();
    documents.any(|document| document.file_name().eq_ignore_ascii_case(folder))
        || ENDINGS.iter().any(|end| folder.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_has_the_name_of_a_document() {
        for document in FolderDocument::ALL {
            assert_eq!(FolderDocument::named(document.file_name()), Some(*document));
            assert!(is_file_like(document.file_name()));
            assert!(is_file_like(&document.file_name().to_ascii_uppercase()));
        }
        assert!(is_file_like("win7.ckm") && !is_file_like("pilot"));
    }
}
