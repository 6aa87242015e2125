//! Access lists of Windows, as text in SDDL ("Security Descriptor Definition Language", Microsoft): who owns a file, and
//! who may do what with it.

/// Those who can read every file anyway, or stand for the owner: the system, administrators, owner rights.
const TRUSTED: [&str; 3] = ["SY", "BA", "OW"];

/// TrustedInstaller, which owns what Windows brings along.
const INSTALLER: &str = "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";

/// Rights as letters, by which data can be read.
const READ_LETTERS: [&str; 6] = ["GA", "GR", "FA", "FR", "CC", "WD"];

/// Rights as letters, by which data can be changed, or the right to change it be taken.
const WRITE_LETTERS: [&str; 9] = ["GA", "GW", "FA", "FW", "DC", "LC", "WD", "WO", "SD"];

/// The same as bits: GENERIC_ALL, GENERIC_READ, WRITE_DAC, FILE_READ_DATA.
const READ_BITS: u32 = 0x1000_0000 | 0x8000_0000 | 0x0004_0000 | 0x1;

/// GENERIC_ALL, GENERIC_WRITE, WRITE_OWNER, WRITE_DAC, DELETE, FILE_APPEND_DATA, FILE_WRITE_DATA.
const WRITE_BITS: u32 = 0x1000_0000 | 0x4000_0000 | 0x0008_0000 | 0x0004_0000 | 0x0001_0000 | 0x4 | 0x2;

/// Owner and access list of a file.
#[derive(Debug)]
pub(super) struct AccessList<'a>(&'a str);

impl<'a> AccessList<'a> {
    pub(super) fn new(sddl: &'a str) -> Self {
        Self(sddl)
    }

    /// Whether the file belongs to `user`, to the system or to administrators, who own what a user makes in an elevated
    /// console.
    pub(super) fn belongs_to(&self, user: &str) -> bool {
        let owner = self.owner();
        owner == Some(user) || owner.is_some_and(|owner| ["SY", "BA", INSTALLER].contains(&owner))
    }

    /// Whether others than `user` may read the data.
    pub(super) fn is_readable_by_others(&self, user: &str) -> bool {
        self.admits_others(user, &READ_LETTERS, READ_BITS)
    }

    /// Whether others than `user` may change the data.
    pub(super) fn is_writable_by_others(&self, user: &str) -> bool {
        self.admits_others(user, &WRITE_LETTERS, WRITE_BITS)
    }

    fn owner(&self) -> Option<&'a str> {
        let text = self.0.strip_prefix("O:")?;
        let end = ["G:", "D:", "S:"].iter().filter_map(|part| text.find(part)).min().unwrap_or(text.len());
        Some(&text[..end])
    }

    fn admits_others(&self, user: &str, letters: &[&str], bits: u32) -> bool {
        // A file without a list, on FAT for example, is open to all; so is one whose list cannot be read.
        let Some((_, list)) = self.0.split_once("D:") else { return true };
        if list.starts_with("NO_ACCESS_CONTROL") {
            return true;
        }
        list.split('(').skip(1).any(|entry| {
            let entry = entry.split(')').next().unwrap_or_default();
            let fields: Vec<&str> = entry.split(';').collect();
            // What is not understood, as a condition, counts as open.
            let [kind, flags, rights, _, _, trustee, ..] = fields[..] else { return true };
            // The others deny or audit.
            matches!(kind, "A" | "OA" | "XA" | "ZA")
                && !pairs(flags).any(|flag| flag == "IO")
                && trustee != user
                && !TRUSTED.contains(&trustee)
                && has_one_of(rights, letters, bits)
        })
    }
}

fn has_one_of(rights: &str, letters: &[&str], bits: u32) -> bool {
    match rights.strip_prefix("0x") {
        Some(mask) => u32::from_str_radix(mask, 16).is_ok_and(|mask| mask & bits != 0),
        None => pairs(rights).any(|right| letters.contains(&right)),
    }
}

fn pairs(letters: &str) -> impl Iterator<Item = &str> {
    (0..letters.len() / 2).filter_map(|index| letters.get(index * 2..index * 2 + 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "S-1-5-21-1-2-3-1001";

    #[test]
    fn lists_are_private_when_they_name_the_user_and_the_system_only() {
        for (list, readable, writable) in [
            ("D:P(A;;FA;;;S-1-5-21-1-2-3-1001)(A;;FA;;;SY)", false, false),
            ("D:(A;ID;FA;;;SY)(A;ID;FA;;;BA)(A;ID;FA;;;S-1-5-21-1-2-3-1001)", false, false),
            ("D:PAI(A;;FA;;;SY)(A;;0x1200a9;;;BU)", true, false),
            ("D:AI(A;ID;0x1301bf;;;AU)", true, true),
            ("D:(A;;FR;;;WD)", true, false),
            ("D:(A;;FW;;;S-1-5-21-1-2-3-1002)", false, true),
            ("D:(A;;WD;;;S-1-5-21-1-2-3-1002)", true, true),
            ("D:(A;OICIIO;FA;;;CO)", false, false),
            ("D:(D;;FA;;;WD)", false, false),
            ("D:(XA;;FR;;;WD;(Member_of {SID(BA)}))", true, true),
            ("D:P", false, false),
            ("D:P(A;;FA;;;SY)S:(ML;;NW;;;ME)", false, false),
            ("D:NO_ACCESS_CONTROL", true, true),
            ("", true, true),
            ("D:(nonsense)", true, true),
        ] {
            let text = format!("O:{USER}{list}");
            let found = AccessList::new(&text);
            assert_eq!(found.is_readable_by_others(USER), readable, "{list}");
            assert_eq!(found.is_writable_by_others(USER), writable, "{list}");
        }
    }

    #[test]
    fn files_of_the_user_and_of_administrators_are_trusted() {
        for (text, expected) in [
            ("O:S-1-5-21-1-2-3-1001D:P", true),
            ("O:S-1-5-21-1-2-3-1001G:BAD:P", true),
            ("O:BAG:SYD:P", true),
            ("O:SYD:P", true),
            ("O:S-1-5-21-1-2-3-1002D:P", false),
            ("O:BUD:P", false),
            ("D:P", false),
            ("", false),
        ] {
            assert_eq!(AccessList::new(text).belongs_to(USER), expected, "{text}");
        }
    }
}
