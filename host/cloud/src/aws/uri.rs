//! URIs of keys and secrets in AWS.

use taskseal::keys::InvalidKeyRef;

use crate::uri::UriParts;

/// A key or secret in AWS.
#[derive(Debug)]
pub(super) struct AwsUri {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    /// An id, a name or an ARN.
    pub(super) name: String,
    pub(super) version: Option<String>,
}

impl AwsUri {
    pub(super) fn parse(uri: &str, fields: &[&str], form: &str) -> Result<Self, InvalidKeyRef> {
        let parts = UriParts::split(uri, fields, form)?;
        let name = parts.path.to_owned();
        let region = parts.field("region").map(str::to_owned).or_else(|| region_of_arn(&name));
        let version = parts.field("version").map(str::to_owned);
        Ok(Self { endpoint: parts.endpoint(), region, name, version })
    }
}

/// Returns the region of `arn:aws:kms:REGION:ACCOUNT:RESOURCE`.
fn region_of_arn(name: &str) -> Option<String> {
    let mut fields = name.strip_prefix("arn:")?.split(':');
    fields.nth(2).filter(|region| !region.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn region_is_that_of_the_field_or_of_the_arn() {
        let region = |uri| AwsUri::parse(uri, &["region"], "").unwrap().region;
        let arn = "awskms:///arn:aws:kms:eu-central-1:111122223333:key/1234abcd";
        assert_eq!(region(arn).as_deref(), Some("eu-central-1"));
        assert_eq!(
            region("awskms:///arn:aws:kms:eu-central-1:1:key/1?region=us-east-1").as_deref(),
            Some("us-east-1")
        );
        assert_eq!(region("awskms:///alias/shop"), None);
        assert_eq!(region("awskms:///arn:aws"), None);
    }
}
