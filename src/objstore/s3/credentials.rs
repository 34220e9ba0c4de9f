//! Keys of the environment and of `~/.aws/credentials`. What comes after them in the chain (web identity,
//! container and instance roles) is the client's own work.

use std::path::PathBuf;

use object_store::aws::AwsCredential;

/// The first of: keys in the environment, a web identity or container role (nothing to read here), the
/// profile of the shared credentials file.
pub(super) fn of_files(variable: &dyn Fn(&str) -> Option<String>) -> Option<AwsCredential> {
    let key_id = variable("AWS_ACCESS_KEY_ID").or_else(|| variable("AWS_ACCESS_KEY"));
    let secret = variable("AWS_SECRET_ACCESS_KEY").or_else(|| variable("AWS_SECRET_KEY"));
    if let (Some(key_id), Some(secret_key)) = (key_id, secret) {
        return Some(AwsCredential {
            key_id,
            secret_key,
            token: variable("AWS_SESSION_TOKEN"),
        });
    }
    if variable("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        return None;
    }
    let path = variable("AWS_SHARED_CREDENTIALS_FILE")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".aws/credentials")))?;
    let profile = variable("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    profile_of(&std::fs::read_to_string(path).ok()?, &profile)
}

/// The keys under `[profile]`.
fn profile_of(text: &str, profile: &str) -> Option<AwsCredential> {
    let header = |line: &str| {
        let name = line.strip_prefix('[')?.strip_suffix(']')?;
        Some(name.trim().to_owned())
    };
    let keys = || {
        text.lines()
            .map(str::trim)
            .skip_while(|line| header(line).as_deref() != Some(profile))
            .skip(1)
            .take_while(|line| header(line).is_none())
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.trim(), value.trim()))
    };
    let value = |wanted: &str| {
        let (_, value) = keys().find(|(key, _)| key.eq_ignore_ascii_case(wanted))?;
        Some(value.to_owned())
    };
    Some(AwsCredential {
        key_id: value("aws_access_key_id")?,
        secret_key: value("aws_secret_access_key")?,
        token: value("aws_session_token"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=S=\n\n[other]\nAWS_ACCESS_KEY_ID = B\naws_secret_access_key = T\naws_session_token = K\n";

    #[test]
    fn a_profile_of_the_shared_file_is_found_by_name() {
        let default = profile_of(FILE, "default").unwrap();
        assert_eq!((&*default.key_id, &*default.secret_key), ("A", "S="));
        assert_eq!(default.token, None);
        let other = profile_of(FILE, "other").unwrap();
        assert_eq!((&*other.key_id, other.token.as_deref()), ("B", Some("K")));
        assert!(profile_of(FILE, "absent").is_none());
    }

    #[test]
    fn keys_of_the_environment_come_first_and_roles_before_files() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials");
        std::fs::write(&file, FILE).unwrap();
        let file = file.to_str().unwrap();
        let set = |pairs: Vec<(&'static str, &str)>| {
            let pairs: Vec<(&str, String)> =
                pairs.into_iter().map(|(k, v)| (k, v.to_owned())).collect();
            of_files(&move |name| {
                let (_, value) = pairs.iter().find(|(key, _)| *key == name)?;
                Some(value.clone())
            })
        };
        let shared = ("AWS_SHARED_CREDENTIALS_FILE", file);
        let of_file = set(vec![shared, ("AWS_PROFILE", "other")]).unwrap();
        assert_eq!(of_file.key_id, "B");
        let env = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "F")];
        assert_eq!(set(vec![shared, env[0], env[1]]).unwrap().key_id, "E");
        assert!(set(vec![shared, ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t")]).is_none());
        assert!(set(vec![("HOME", "/nowhere")]).is_none());
    }
}
