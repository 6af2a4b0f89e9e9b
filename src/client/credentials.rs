//! The file in which AWS tools keep the keys that sign requests.

use crate::wire::sigv4::Credentials;

/// A credentials file does not hold the keys that are asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// There is no `[profile]` of that name.
    #[error("there is no profile [{0}]")]
    NoProfile(String),
    /// The profile lacks one of the two keys.
    #[error("profile [{profile}] has no {key}")]
    NoKey {
        /// The profile that was read.
        profile: String,
        /// `aws_access_key_id` or `aws_secret_access_key`.
        key: &'static str,
    },
}

/// Reads one profile from the text of an AWS shared credentials file.
pub fn credentials_from_profile(text: &str, profile: &str) -> Result<Credentials, ProfileError> {
    let mut found = false;
    let (mut id, mut secret, mut token) = (None, None, None);
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name.trim() == profile;
            found |= inside;
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match key.trim() {
                "aws_access_key_id" => id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {} // Comments, region, output: other tools' settings.
            }
        }
    }
    if !found {
        return Err(ProfileError::NoProfile(profile.to_owned()));
    }
    let missing = |key| ProfileError::NoKey { profile: profile.to_owned(), key };
    Ok(Credentials {
        access_key: id.ok_or_else(|| missing("aws_access_key_id"))?,
        secret: secret.ok_or_else(|| missing("aws_secret_access_key"))?,
        session_token: token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# made by hand\n[default]\naws_access_key_id = AKIAONE\n\
        aws_secret_access_key=abc/def=\n\n[ cam ]\naws_access_key_id=AKIATWO\n\
        aws_secret_access_key=s\naws_session_token=t==\nregion=eu-west-1\n[half]\naws_access_key_id=x\n";

    #[test]
    fn profile_is_read_from_a_shared_credentials_file() {
        let one = credentials_from_profile(FILE, "default").expect("profile");
        assert_eq!(one.access_key, "AKIAONE");
        assert_eq!(one.secret, "abc/def=");
        assert_eq!(one.session_token, None);
        let two = credentials_from_profile(FILE, "cam").expect("profile");
        assert_eq!(two.access_key, "AKIATWO");
        assert_eq!(two.session_token.as_deref(), Some("t=="));
    }

    #[test]
    fn what_a_profile_lacks_is_named() {
        let none = ProfileError::NoProfile("x".to_owned());
        assert_eq!(credentials_from_profile(FILE, "x"), Err(none));
        let half = ProfileError::NoKey { profile: "half".to_owned(), key: "aws_secret_access_key" };
        assert_eq!(credentials_from_profile(FILE, "half"), Err(half));
    }
}
