//! The only list of the documents that imagedepot itself writes into a channel's folder, beside the files of revisions.
//!
//! The snapshot, the publication, the tree in a folder or a bucket, HTTP, the rebuild, and the check of folder names
//! all use this list. The content of a document is created in `catalog/snapshot/documents.rs`.

use super::publication::{CACHE_BRIEFLY, ServedAs, in_folder};

/// Declares the documents, each with its name, its content type, and its cache control, which are the same wherever the
/// document is served from.
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

            pub const fn served_as(self) -> ServedAs {
                match self {
                    $(Self::$document => ServedAs {
                        content_type: $content_type,
                        cache_control: $cache_control,
                    }),+
                }
            }
        }
    };
}

folder_documents! {
    /// The contents of the folder, for readers that have nothing but the tree.
    Manifest: "channel.json", "application/json", CACHE_BRIEFLY;
}

impl FolderDocument {
    /// Returns the document of this name, or none for any other file, such as a revision's file or a user's own file.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|document| document.file_name() == name)
    }

    /// Returns the document's path below the tree's root.
    pub fn path_in(self, folder: &str) -> String {
        in_folder(folder, self.file_name())
    }
}

/// The endings of the names of files that are in the tree or are planned for it.
const ENDINGS: [&str; 6] = [".ckm", ".index", ".json", ".jws", ".chunks", ".delta"];

/// Reports whether a channel's folder with this name could take the place of a file of the tree. Document names are
/// compared without regard to case, as on Windows; the endings are compared exactly.
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
