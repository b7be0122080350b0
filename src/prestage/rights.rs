//! The access rights in the two folders: the access control lists of MED-V's documents.
//!
//! Accounts are given by their SIDs, because their names depend on the language. The lists inherit nothing from the
//! parent folder, or else they would not be complete. The folders are owned by Administrators, because an owner may
//! change the list and any user may have created the folder before.
//!
//! The documents give Authenticated Users the rights to read, without the right to execute. In the outer folder they
//! also give the right to append, with which each user's own images get there. A later edition of one document gives
//! that right in the inner folder too; the other editions do not.

/// The well-known accounts (Windows: "Well-known SIDs"), as SIDs and in SDDL.
const SYSTEM: (&str, &str) = ("S-1-5-18", "SY");
const ADMINISTRATORS: (&str, &str) = ("S-1-5-32-544", "BA");
const AUTHENTICATED_USERS: (&str, &str) = ("S-1-5-11", "AU");

/// A right on folders and files: its bit in an access mask, and its name in `icacls`.
#[derive(Debug, Clone, Copy)]
struct Right {
    bit: u32,
    letters: &'static str,
}

const READ_CONTROL: Right = Right { bit: 0x0002_0000, letters: "RC" };
const SYNCHRONIZE: Right = Right { bit: 0x0010_0000, letters: "S" };
const FILE_READ_DATA: Right = Right { bit: 0x1, letters: "RD" };
const FILE_APPEND_DATA: Right = Right { bit: 0x4, letters: "AD" };
const FILE_READ_EA: Right = Right { bit: 0x8, letters: "REA" };
const FILE_READ_ATTRIBUTES: Right = Right { bit: 0x80, letters: "RA" };

/// The meaning of `FR` in SDDL: all of `FILE_GENERIC_READ`.
const FILE_GENERIC_READ: u32 = 0x0012_0089;

/// The rights of Authenticated Users in a folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UsersMay {
    /// The default in `PrestagedImages`.
    #[default]
    Read,
    /// Always in `MED-V Images`; in `PrestagedImages` if the later of the two documents is followed.
    ReadAndAppend,
}

impl UsersMay {
    /// Returns the rights in `PrestagedImages` for the command's switch or the request's parameter.
    pub const fn appending(asked: bool) -> Self {
        if asked { Self::ReadAndAppend } else { Self::Read }
    }

    const fn rights(self) -> &'static [Right] {
        match self {
            Self::Read => {
                &[READ_CONTROL, SYNCHRONIZE, FILE_READ_DATA, FILE_READ_EA, FILE_READ_ATTRIBUTES]
            }
            Self::ReadAndAppend => &[
                READ_CONTROL,
                SYNCHRONIZE,
                FILE_READ_DATA,
                FILE_APPEND_DATA,
                FILE_READ_EA,
                FILE_READ_ATTRIBUTES,
            ],
        }
    }

    fn mask(self) -> u32 {
        self.rights().iter().fold(0, |mask, right| mask | right.bit)
    }

    /// Returns the arguments of `icacls` after the folder.
    pub(super) fn icacls(self) -> String {
        let letters: Vec<_> = self.rights().iter().map(|right| right.letters).collect();
        format!(
            "/inheritance:r /grant:r \"*{}:(OI)(CI)F\" \"*{}:(OI)(CI)F\" \"*{}:(OI)(CI)({})\"",
            SYSTEM.0,
            ADMINISTRATORS.0,
            AUTHENTICATED_USERS.0,
            letters.join(",")
        )
    }

    /// Returns the same rights as a security descriptor (SDDL), with the owner.
    pub(super) fn sddl(self) -> String {
        let mask = match self.mask() {
            FILE_GENERIC_READ => "FR".to_owned(),
            other => format!("{other:#x}"),
        };
        let full = |account: &str| format!("(A;OICI;FA;;;{account})");
        let users = format!("(A;OICI;{mask};;;{})", AUTHENTICATED_USERS.1);
        let owner = ADMINISTRATORS.1;
        format!("O:{owner}D:PAI{}{}{users}", full(SYSTEM.1), full(ADMINISTRATORS.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_are_those_of_the_documents_bit_by_bit() {
        assert_eq!(UsersMay::Read.mask(), 0x0012_0089);
        assert_eq!(UsersMay::ReadAndAppend.mask(), 0x0012_008d);
    }

    #[test]
    fn the_lists_are_those_of_the_documents_in_both_forms() {
        assert_eq!(
            UsersMay::ReadAndAppend.sddl(),
            "O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x12008d;;;AU)"
        );
        assert_eq!(
            UsersMay::Read.sddl(),
            "O:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FR;;;AU)"
        );
        let full = "/inheritance:r /grant:r \"*S-1-5-18:(OI)(CI)F\" \"*S-1-5-32-544:(OI)(CI)F\"";
        assert_eq!(
            UsersMay::ReadAndAppend.icacls(),
            format!("{full} \"*S-1-5-11:(OI)(CI)(RC,S,RD,AD,REA,RA)\"")
        );
        assert_eq!(
            UsersMay::Read.icacls(),
            format!("{full} \"*S-1-5-11:(OI)(CI)(RC,S,RD,REA,RA)\"")
        );
    }
}
