//! Errors of the SDK as faults.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_kms::config::http::HttpResponse;
use aws_sdk_kms::error::{ProvideErrorMetadata, SdkError};

use crate::fault::{Fault, retry_after};

/// Returns the fault of an error of the SDK.
///
/// The codes are those of the "Errors" sections and of the common errors of the API references.
pub(super) fn fault<E>(error: SdkError<E, HttpResponse>) -> Fault
where
    E: Error + ProvideErrorMetadata + Send + Sync + 'static,
{
    let SdkError::ServiceError(answer) = &error else { return without_answer(&error) };
    let code = answer.err().code().unwrap_or("no code");
    let message = format!("{code}: {}", answer.err().message().unwrap_or("no message"));
    let headers = answer.raw().headers();
    match code {
        "ThrottlingException"
        | "Throttling"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "LimitExceededException" => Fault::throttled(message, retry_after(headers.get("retry-after"))),
        "ExpiredTokenException"
        | "ExpiredToken"
        | "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken"
        | "RequestExpired"
        | "AccessDeniedException"
        | "NotAuthorized"
        | "OptInRequired" => Fault::credentials(message),
        "NotFoundException" | "ResourceNotFoundException" | "InvalidArnException" => {
            Fault::not_found(message)
        }
        "DisabledException" | "KMSInvalidStateException" | "InvalidRequestException" => {
            Fault::disabled(message)
        }
        "InvalidKeyUsageException" | "UnsupportedOperationException" => Fault::wrong_key(message),
        "KMSInternalException"
        | "DependencyTimeoutException"
        | "KeyUnavailableException"
        | "InternalServiceError"
        | "InternalFailure"
        | "InternalServiceErrorException"
        | "ServiceUnavailable" => Fault::unreachable(message),
        _ => match answer.raw().status().as_u16() {
            429 => Fault::throttled(message, retry_after(headers.get("retry-after"))),
            500.. => Fault::unreachable(message),
            401 | 403 => Fault::credentials(message),
            _ => Fault::refused(message),
        },
    }
}

/// Returns the fault of a call that the service did not answer, or not as its API says.
fn without_answer<E: Error + 'static>(error: &SdkError<E, HttpResponse>) -> Fault {
    let message = with_causes(error);
    match error {
        _ if lacks_credentials(error) => Fault::credentials(message),
        SdkError::ConstructionFailure(_) => Fault::refused(message),
        SdkError::ResponseError(answer) if answer.raw().status().as_u16() < 500 => {
            Fault::faulty_answer(message)
        }
        _ => Fault::unreachable(message),
    }
}

/// Returns an error and its causes, without texts that the one before repeats.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !message.ends_with(&text) {
            message = format!("{message}: {text}");
        }
        cause = error.source();
    }
    message
}

/// Returns whether an error was caused by missing credentials.
fn lacks_credentials(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
