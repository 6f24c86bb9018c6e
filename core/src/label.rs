//! Registered numbers of COSE and CWT, and the private numbers of this format.

/// COSE header parameter `alg` (RFC 9052 3.1).
pub(crate) const ALG: u64 = 1;
/// COSE header parameter `content type` (RFC 9052 3.1).
pub(crate) const CONTENT_TYPE: u64 = 3;
/// COSE header parameter `kid` (RFC 9052 3.1).
pub(crate) const KID: u64 = 4;
/// COSE header parameter `IV` (RFC 9052 3.1).
pub(crate) const IV: u64 = 5;
/// COSE header parameter `CWT Claims` (RFC 9597).
pub(crate) const CWT_CLAIMS: u64 = 15;
/// COSE header parameter `typ` (RFC 9596).
pub(crate) const TYP: u64 = 16;
/// COSE header parameter `vds`, the type of verifiable data structure (RFC 9942).
pub(crate) const VDS: u64 = 395;
/// COSE header parameter `vdp`, the proofs of that structure (RFC 9942).
pub(crate) const VDP: u64 = 396;
/// The structure of RFC 9162 over SHA-256 (RFC 9942).
pub(crate) const VDS_RFC9162_SHA256: u64 = 1;
/// Inclusion proofs in `vdp` (RFC 9942): label -1.
pub(crate) const VDP_INCLUSION: i64 = -1;
/// COSE header parameter `ephemeral key` of ECDH-ES (RFC 9053 6.3.1): label -1.
pub(crate) const EPHEMERAL_KEY: i64 = -1;

/// Salt and key commitment in a header, extension claims in the claims: -95348 is `3a 00 01 74 73`, whose
/// last bytes read "ts". In the private-use range of both registries.
pub(crate) const PRIVATE: i64 = -95_348;

/// ES256 (RFC 9053 2.1).
pub(crate) const ES256: i64 = -7;
/// HMAC 256/256 (RFC 9053 3.1).
pub(crate) const HMAC_256: i64 = 5;
/// A256GCM (RFC 9053 4.1).
pub(crate) const A256GCM: i64 = 3;

/// ECDH-ES + HKDF-256 (RFC 9053 6.3.1).
pub(crate) const ECDH_ES_HKDF_256: i64 = -25;

/// Key type EC2 (RFC 9053 7.1).
pub(crate) const KTY_EC2: i64 = 2;
/// Key type Symmetric (RFC 9053 7.2).
pub(crate) const KTY_SYMMETRIC: i64 = 4;
/// Curve P-256 (RFC 9053 table 18).
pub(crate) const CRV_P256: i64 = 1;

/// COSE_Key parameter `kty` (RFC 9052 7.1).
pub(crate) const KEY_KTY: i64 = 1;
/// COSE_Key parameter `kid` (RFC 9052 7.1).
pub(crate) const KEY_KID: i64 = 2;
/// COSE_Key parameter `alg` (RFC 9052 7.1).
pub(crate) const KEY_ALG: i64 = 3;
/// COSE_Key parameter `key_ops` (RFC 9052 7.1).
pub(crate) const KEY_OPS: i64 = 4;
/// EC2 key parameter `crv` (RFC 9053 7.1.1).
pub(crate) const KEY_CRV: i64 = -1;
/// EC2 key parameter `x` (RFC 9053 7.1.1).
pub(crate) const KEY_X: i64 = -2;
/// EC2 key parameter `y` (RFC 9053 7.1.1).
pub(crate) const KEY_Y: i64 = -3;
/// EC2 key parameter `d`, the private key (RFC 9053 7.1.1).
pub(crate) const KEY_D: i64 = -4;
/// Symmetric key parameter `k` (RFC 9053 7.2).
pub(crate) const KEY_K: i64 = -1;

/// Key operation `sign` (RFC 9052 table 5).
pub(crate) const KEY_OP_SIGN: i64 = 1;
/// Key operation `encrypt` (RFC 9052 table 5).
pub(crate) const KEY_OP_ENCRYPT: i64 = 3;
/// Key operation `decrypt` (RFC 9052 table 5).
pub(crate) const KEY_OP_DECRYPT: i64 = 4;
/// Key operation `derive key` (RFC 9052 table 5).
pub(crate) const KEY_OP_DERIVE_KEY: i64 = 7;
/// Key operation `MAC create` (RFC 9052 table 5).
pub(crate) const KEY_OP_MAC_CREATE: i64 = 9;
/// Key operation `MAC verify` (RFC 9052 table 5).
pub(crate) const KEY_OP_MAC_VERIFY: i64 = 10;

/// CoAP content format of `application/cose; cose-type="cose-encrypt0"` (registry: 16).
pub(crate) const COAP_ENCRYPT0: u64 = 16;
/// CoAP content format of `application/cose; cose-type="cose-encrypt"` (registry: 96).
pub(crate) const COAP_ENCRYPT: u64 = 96;

/// COSE_Encrypt0 (RFC 9052 table 1).
pub(crate) const TAG_ENCRYPT0: u64 = 16;
/// COSE_Mac0 (RFC 9052 table 1).
pub(crate) const TAG_MAC0: u64 = 17;
/// COSE_Sign1 (RFC 9052 table 1).
pub(crate) const TAG_SIGN1: u64 = 18;
/// COSE_Encrypt (RFC 9052 table 1).
pub(crate) const TAG_ENCRYPT: u64 = 96;

/// CWT claim `iss` (RFC 8392 section 4).
pub(crate) const CLAIM_ISS: u64 = 1;
/// CWT claim `sub`.
pub(crate) const CLAIM_SUB: u64 = 2;
/// CWT claim `aud`.
pub(crate) const CLAIM_AUD: u64 = 3;
/// CWT claim `exp`.
pub(crate) const CLAIM_EXP: u64 = 4;
/// CWT claim `nbf`.
pub(crate) const CLAIM_NBF: u64 = 5;
/// CWT claim `iat`.
pub(crate) const CLAIM_IAT: u64 = 6;
/// CWT claim `cti`.
pub(crate) const CLAIM_CTI: u64 = 7;

/// Extension claim: clock of the issuer.
pub(crate) const EXT_CLOCK: u64 = 1;
/// Extension claim: boot epoch and counter.
pub(crate) const EXT_SEQUENCE: u64 = 2;
/// Extension claim: schema version of the body.
pub(crate) const EXT_SCHEMA: u64 = 3;
/// Extension claim: W3C trace context.
pub(crate) const EXT_TRACE: u64 = 4;
/// Extension claim: task id in the queue framework.
pub(crate) const EXT_REFERENCE: u64 = 5;
/// Extension claim: identifier of the time beacon used.
pub(crate) const EXT_BEACON: u64 = 6;
/// Extension claim: time to live in seconds from the first admission, for issuers without a clock.
pub(crate) const EXT_TTL: u64 = 7;
/// Extension claim: maximum number of attempts.
pub(crate) const EXT_ATTEMPTS: u64 = 8;
/// Extension claim: time limit of one attempt, in seconds.
pub(crate) const EXT_TIMEOUT: u64 = 9;
/// Extension claim: time for which the finished task is kept, in seconds.
pub(crate) const EXT_RETENTION: u64 = 10;
/// Extension claim: SHA-256 of the request envelope, in results.
pub(crate) const EXT_REQUEST: u64 = 11;
