//! Which services an upgrade over the port may name: the port has no password, and a model gets all texts and a key.

use std::str::FromStr;

use ureq::http::Uri;

use crate::definition::{Definition, Model, VectorSource};
use crate::server::UpgradeError;

/// A host of embedding services that upgrades may name, and the variable that has its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelHost {
    origin: Origin,
    key_variable: Option<String>,
}

/// Scheme, host and port.
type Origin = (String, String, u16);

impl FromStr for ModelHost {
    type Err = String;

    /// `https://api.openai.com` or `https://api.openai.com=OPENAI_API_KEY`.
    fn from_str(text: &str) -> Result<ModelHost, String> {
        let (url, key_variable) = match text.split_once('=') {
            Some((url, variable)) => (url, Some(variable.to_owned())),
            None => (text, None),
        };
        let is_host = |uri: &Uri| matches!(uri.path(), "" | "/") && uri.query().is_none();
        let uri = url.parse::<Uri>().ok().filter(is_host);
        match (uri.as_ref().and_then(origin), &key_variable) {
            (Some(origin), variable) if variable.as_deref() != Some("") => {
                Ok(ModelHost { origin, key_variable })
            }
            _ => Err("expected a host such as `https://api.openai.com=OPENAI_API_KEY`".to_owned()),
        }
    }
}

/// Whether a model that the port names may be asked: where it is a service, the dataflow file has one on the same host with
/// the same variable for its key, or the command line allows both.
pub(super) fn admit(model: &Model, file: &Definition, given: &[ModelHost]) -> Result<(), UpgradeError> {
    let Model::Service(service) = model else {
        return Ok(());
    };
    let of_url = |url: &str| origin(&url.parse().ok()?);
    let asked = of_url(&service.url);
    let of_file = file.index.iter().flat_map(|index| &index.vectors);
    let of_file = of_file.filter_map(|field| match &field.source {
        VectorSource::Embed { embedder, .. } => match &embedder.model {
            Model::Service(service) => Some((of_url(&service.url)?, service.key_variable.as_deref())),
            _ => None,
        },
        VectorSource::Column(_) => None,
    });
    let given = given
        .iter()
        .map(|host| (host.origin.clone(), host.key_variable.as_deref()));
    let mut keys = of_file
        .chain(given)
        .filter(|(origin, _)| asked.as_ref() == Some(origin))
        .map(|(_, key)| key)
        .peekable();
    if keys.peek().is_none() {
        return Err(UpgradeError::Host(service.url.clone()));
    }
    match &service.key_variable {
        Some(asked) if !keys.any(|key| key == Some(asked)) => Err(UpgradeError::Key {
            variable: asked.clone(),
            url: service.url.clone(),
        }),
        _ => Ok(()),
    }
}

fn origin(uri: &Uri) -> Option<Origin> {
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let usual = match &*scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = uri.host().filter(|host| !host.is_empty())?.to_ascii_lowercase();
    // A name or a password would go along.
    let is_plain = !uri.authority()?.as_str().contains('@');
    is_plain.then(|| (scheme, host, uri.port_u16().unwrap_or(usual)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::definition::{parse, parse_embedder};

    const FILE: &str = r#"
name = "notes"
[tables.notes]
source = { kind = "http" }
format = "upsert-json"
key = ["id"]
[index]
query = "SELECT id, text FROM notes"
key = "id"
text = { text = {} }
embed = "{text}"
[embedder]
model = { url = "https://models.example/v1/embeddings", api = "openai", name = "a", dimensions = 8, key_env = "MODELS_KEY" }
"#;

    fn admitted(url: &str, key: &str, given: &[&str]) -> Result<(), UpgradeError> {
        let file = parse(FILE, "notes.toml", Path::new("")).unwrap();
        let key = match key {
            "" => String::new(),
            key => format!(", key_env = \"{key}\""),
        };
        let model =
            format!("model = {{ url = \"{url}\", api = \"openai\", name = \"b\", dimensions = 8{key} }}");
        let model = parse_embedder(&model, Path::new("")).unwrap().model;
        let given: Vec<ModelHost> = given.iter().map(|host| host.parse().unwrap()).collect();
        admit(&model, &file, &given)
    }

    #[test]
    fn texts_go_to_hosts_of_the_file_and_of_the_command_line_alone() {
        for url in [
            "https://models.example/v2",
            "https://MODELS.example:443/v1/embeddings",
        ] {
            assert!(admitted(url, "MODELS_KEY", &[]).is_ok(), "{url}");
            assert!(admitted(url, "", &[]).is_ok(), "{url}");
        }
        for url in [
            "http://models.example/v1/embeddings",
            "https://models.example:8443/v1/embeddings",
            "https://models.example.evil.test/",
            "https://evil.test/models.example",
        ] {
            let refused = admitted(url, "", &[]);
            assert!(matches!(refused, Err(UpgradeError::Host(_))), "{url}");
        }
        let given = ["http://10.0.0.1:8080", "https://other.test=OTHER_KEY"];
        assert!(admitted("http://10.0.0.1:8080/embed", "", &given).is_ok());
        assert!(admitted("https://other.test/embed", "OTHER_KEY", &given).is_ok());
    }

    #[test]
    fn a_variable_goes_to_the_host_alone_that_it_is_named_for() {
        let given = ["http://10.0.0.1:8080", "https://other.test=OTHER_KEY"];
        for (url, key) in [
            ("https://models.example/v1", "AWS_SECRET_ACCESS_KEY"),
            ("https://models.example/v1", "OTHER_KEY"),
            ("http://10.0.0.1:8080/embed", "MODELS_KEY"),
            ("https://other.test/embed", "MODELS_KEY"),
        ] {
            let refused = admitted(url, key, &given);
            assert!(matches!(refused, Err(UpgradeError::Key { .. })), "{url} {key}");
        }
    }

    #[test]
    fn a_host_is_a_scheme_and_a_name_without_a_path() {
        for text in [
            "",
            "api.openai.com",
            "ftp://api.openai.com",
            "https://api.openai.com/v1",
            "https://a@b.test",
            "https://b.test=",
        ] {
            assert!(text.parse::<ModelHost>().is_err(), "{text}");
        }
    }
}
