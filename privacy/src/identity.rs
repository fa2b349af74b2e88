//! Who holds a certificate: X.509 (RFC 5280) with a SPIFFE-style name.
//!
//! A party's whole identity is the one URI among its certificate's subject alternative names,
//! `spiffe://<federation>/<role>/<party>`; common names mean nothing. The federation has one certificate authority and
//! no intermediates, so that a certificate is checked against exactly one key.

use crate::digest::{Digest, Transcript};
use crate::sign::VerifyingKey;
use x509_parser::prelude::{FromDer, GeneralName, KeyUsage, X509Certificate, X509Version};

/// The roles that a certificate can give.
pub const ROLES: [&str; 5] = ["coordinator", "bank", "government", "enterprise", "operator"];
/// Certificates longer than this are not looked at.
pub const MAX_CERTIFICATE_BYTES: usize = 64 * 1024;

/// A certificate that was issued by the federation's authority and is valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemberCertificate {
    /// The federation, for example `credit.example`.
    pub federation: String,
    /// One of [`ROLES`].
    pub role: String,
    /// The party's identifier, of `[a-z0-9-]`.
    pub party: String,
    /// The certificate's key, if it is an Ed25519 key.
    pub signing_key: Option<VerifyingKey>,
    /// The digest of the certificate's public key with its algorithm, for pinning.
    pub spki_digest: Digest,
    /// When the certificate expires, in seconds since 1970.
    pub not_after: i64,
}

/// Which of the two certificates an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// The certificate authority's.
    Authority,
    /// The member's.
    Member,
}

/// A certificate is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Too long to be looked at.
    #[error("the {0} certificate has {1} bytes, at most {MAX_CERTIFICATE_BYTES} are read")]
    TooLong(Whose, usize),
    /// Not one DER-encoded certificate.
    #[error("the {0} certificate is not one DER-encoded X.509 version 3 certificate")]
    Malformed(Whose),
    /// Outside its period of validity.
    #[error("the {whose} certificate is valid from {not_before} to {not_after}, now it is {now}")]
    NotValidNow {
        /// Whose certificate.
        whose: Whose,
        /// Seconds since 1970.
        not_before: i64,
        /// Seconds since 1970.
        not_after: i64,
        /// Seconds since 1970.
        now: i64,
    },
    /// The authority's certificate does not say that it is an authority that signs certificates.
    #[error("the authority's certificate may not sign certificates")]
    NotAnAuthority,
    /// The member's certificate says that it is an authority.
    #[error("the member's certificate claims to be an authority")]
    MemberIsAuthority,
    /// The member's certificate may not be used for signatures.
    #[error("the member's certificate may not sign")]
    MemberMayNotSign,
    /// The member's certificate names another issuer.
    #[error("the member's certificate names another issuer than this authority")]
    OtherIssuer,
    /// The signature does not hold, or uses an algorithm that is not accepted.
    #[error("the member's certificate was not signed by this authority with an accepted algorithm")]
    Signature,
    /// An extension that must be understood is not.
    #[error("the {0} certificate has a critical extension that is not understood")]
    CriticalExtension(Whose),
    /// There must be exactly one name of the right form.
    #[error("the member's certificate has {0} URI names, it must have exactly one")]
    Names(usize),
    /// The name is not `spiffe://<federation>/<role>/<party>`.
    #[error("the member's name is not of the form spiffe://<federation>/<role>/<party>")]
    NameForm,
    /// The role is not one of [`ROLES`].
    #[error("the role in the member's name is none of {ROLES:?}")]
    Role,
    /// The party's identifier is not of `[a-z0-9-]{{1,32}}`.
    #[error("the party in the member's name is not 1 to 32 characters of a-z, 0-9 and -")]
    Party,
}

/// Checks that `ca_der` issued `cert_der`, that both are valid at `now_unix_s`, and reads the member's identity.
pub fn verify_member_certificate(
    ca_der: &[u8],
    cert_der: &[u8],
    now_unix_s: i64,
) -> Result<MemberCertificate, IdentityError> {
    let authority = parse(ca_der, Whose::Authority)?;
    let member = parse(cert_der, Whose::Member)?;
    check_period(&authority, Whose::Authority, now_unix_s)?;
    check_period(&member, Whose::Member, now_unix_s)?;
    check_authority(&authority)?;
    check_member(&member)?;
    if member.issuer().as_raw() != authority.subject().as_raw() {
        return Err(IdentityError::OtherIssuer);
    }
    check_signature(&authority, &member)?;
    read(&member)
}

/// Reads what a certificate says of itself, without asking who issued it or whether it is valid: a claim, on which only
/// an audit that says so may build.
pub fn read_unverified_certificate(cert_der: &[u8]) -> Result<MemberCertificate, IdentityError> {
    let member = parse(cert_der, Whose::Member)?;
    check_member(&member)?;
    read(&member)
}

fn read(member: &X509Certificate<'_>) -> Result<MemberCertificate, IdentityError> {
    let (federation, role, party) = read_name(member)?;
    let key = member.public_key();
    Ok(MemberCertificate {
        federation,
        role,
        party,
        signing_key: ed25519_key(member),
        spki_digest: Transcript::new("haihe/v1/spki").bytes(key.raw).finish(),
        not_after: member.validity().not_after.timestamp(),
    })
}

fn parse(der: &[u8], whose: Whose) -> Result<X509Certificate<'_>, IdentityError> {
    if der.len() > MAX_CERTIFICATE_BYTES {
        return Err(IdentityError::TooLong(whose, der.len()));
    }
    match X509Certificate::from_der(der) {
        Ok((rest, certificate)) if rest.is_empty() && certificate.version() == X509Version::V3 => Ok(certificate),
        _ => Err(IdentityError::Malformed(whose)),
    }
}

fn check_period(certificate: &X509Certificate<'_>, whose: Whose, now: i64) -> Result<(), IdentityError> {
    let (not_before, not_after) =
        (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp());
    if (not_before..=not_after).contains(&now) {
        Ok(())
    } else {
        Err(IdentityError::NotValidNow { whose, not_before, not_after, now })
    }
}

/// RFC 5280 sections 4.2.1.9 and 4.2.1.3: `cA` is asserted, and `keyCertSign` if there is a key usage.
fn check_authority(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    check_extensions(certificate, Whose::Authority)?;
    let malformed = |_| IdentityError::Malformed(Whose::Authority);
    let is_authority = certificate.basic_constraints().map_err(malformed)?.is_some_and(|e| e.value.ca);
    let may_sign = usage(certificate, Whose::Authority)?.is_none_or(|usage| usage.key_cert_sign());
    if is_authority && may_sign { Ok(()) } else { Err(IdentityError::NotAnAuthority) }
}

fn check_member(certificate: &X509Certificate<'_>) -> Result<(), IdentityError> {
    check_extensions(certificate, Whose::Member)?;
    let malformed = |_| IdentityError::Malformed(Whose::Member);
    let claims_authority = certificate.basic_constraints().map_err(malformed)?.is_some_and(|e| e.value.ca);
    let usage = usage(certificate, Whose::Member)?;
    if claims_authority || usage.is_some_and(|usage| usage.key_cert_sign()) {
        return Err(IdentityError::MemberIsAuthority);
    }
    if usage.is_some_and(|usage| !usage.digital_signature()) {
        return Err(IdentityError::MemberMayNotSign);
    }
    Ok(())
}

fn usage<'a>(certificate: &'a X509Certificate<'_>, whose: Whose) -> Result<Option<&'a KeyUsage>, IdentityError> {
    Ok(certificate.key_usage().map_err(|_| IdentityError::Malformed(whose))?.map(|extension| extension.value))
}

/// RFC 5280 section 4.2: "A certificate-using system MUST reject the certificate if it encounters a critical extension
/// it does not recognize or a critical extension that contains information that it cannot process." Name constraints are
/// recognised by the parser and not processed here, so they are refused as well.
fn check_extensions(certificate: &X509Certificate<'_>, whose: Whose) -> Result<(), IdentityError> {
    use x509_parser::extensions::ParsedExtension as Parsed;
    let understood = |parsed: &Parsed<'_>| {
        matches!(
            parsed,
            Parsed::BasicConstraints(_)
                | Parsed::KeyUsage(_)
                | Parsed::ExtendedKeyUsage(_)
                | Parsed::SubjectAlternativeName(_)
                | Parsed::SubjectKeyIdentifier(_)
                | Parsed::AuthorityKeyIdentifier(_)
        )
    };
    if certificate.extensions().iter().any(|e| e.critical && !understood(e.parsed_extension())) {
        return Err(IdentityError::CriticalExtension(whose));
    }
    Ok(())
}

/// The algorithms of a federation's authority: Ed25519, and ECDSA or RSA over SHA-2. The parser's own list has SHA-1.
fn check_signature(authority: &X509Certificate<'_>, member: &X509Certificate<'_>) -> Result<(), IdentityError> {
    const ACCEPTED: [&str; 6] = [
        "1.3.101.112",
        "1.2.840.10045.4.3.2",
        "1.2.840.10045.4.3.3",
        "1.2.840.113549.1.1.11",
        "1.2.840.113549.1.1.12",
        "1.2.840.113549.1.1.13",
    ];
    // RFC 5280 section 4.1.1.2: the algorithm outside the signed part "MUST contain the same algorithm identifier".
    let algorithm = &member.signature_algorithm;
    let accepted = ACCEPTED.contains(&algorithm.algorithm.to_id_string().as_str());
    if !accepted || *algorithm != member.tbs_certificate.signature {
        return Err(IdentityError::Signature);
    }
    member.verify_signature(Some(authority.public_key())).map_err(|_| IdentityError::Signature)
}

fn read_name(certificate: &X509Certificate<'_>) -> Result<(String, String, String), IdentityError> {
    let malformed = |_| IdentityError::Malformed(Whose::Member);
    let names = certificate.subject_alternative_name().map_err(malformed)?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None })
        .collect();
    let [uri] = uris[..] else {
        return Err(IdentityError::Names(uris.len()));
    };
    let mut parts = uri.strip_prefix("spiffe://").ok_or(IdentityError::NameForm)?.split('/');
    let (Some(federation), Some(role), Some(party), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(IdentityError::NameForm);
    };
    let is_plain = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if !(1..=255).contains(&federation.len()) || !federation.bytes().all(|c| is_plain(c) || matches!(c, b'.' | b'_')) {
        return Err(IdentityError::NameForm);
    }
    if !ROLES.contains(&role) {
        return Err(IdentityError::Role);
    }
    if !(1..=32).contains(&party.len()) || !party.bytes().all(is_plain) {
        return Err(IdentityError::Party);
    }
    Ok((federation.to_owned(), role.to_owned(), party.to_owned()))
}

/// RFC 8410: an Ed25519 key has the algorithm 1.3.101.112 and no parameters, and is 32 bytes.
fn ed25519_key(certificate: &X509Certificate<'_>) -> Option<VerifyingKey> {
    let key = certificate.public_key();
    let is_ed25519 = key.algorithm.algorithm.to_id_string() == "1.3.101.112" && key.algorithm.parameters.is_none();
    let bytes: [u8; 32] = key.subject_public_key.data.as_ref().try_into().ok()?;
    is_ed25519.then(|| VerifyingKey::from_bytes(bytes))
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Authority => "authority's",
            Self::Member => "member's",
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, IsCa, KeyPair, KeyUsagePurpose, SanType,
        date_time_ymd,
    };

    const NOW: i64 = 1_790_000_000; // September 2026

    fn authority_params(common_name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2035, 1, 1));
        params
    }

    fn key() -> KeyPair {
        KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
    }

    fn authority(common_name: &str) -> CertifiedIssuer<'static, KeyPair> {
        CertifiedIssuer::self_signed(authority_params(common_name), key()).unwrap()
    }

    fn member_params(uris: &[&str]) -> CertificateParams {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.subject_alt_names = uris.iter().map(|&uri| SanType::URI(uri.try_into().unwrap())).collect();
        (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        params
    }

    const NAME: &str = "spiffe://credit.example/bank/bank-a";

    fn verify(params: &CertificateParams) -> Result<MemberCertificate, IdentityError> {
        let authority = authority("CA");
        let member = params.signed_by(&key(), &authority).unwrap();
        verify_member_certificate(authority.der(), member.der(), NOW)
    }

    #[test]
    fn a_member_is_recognised() {
        let (authority, key) = (authority("CA"), key());
        let member = member_params(&[NAME]).signed_by(&key, &authority).unwrap();
        let verified = verify_member_certificate(authority.der(), member.der(), NOW).unwrap();
        assert_eq!((&*verified.federation, &*verified.role, &*verified.party), ("credit.example", "bank", "bank-a"));
        assert_eq!(verified.signing_key.unwrap().as_bytes(), key.public_key_raw());
        assert_eq!(verified.not_after, 1_798_761_600);
    }

    #[test]
    fn another_kind_of_key_is_pinned_but_does_not_sign() {
        let authority = authority("CA");
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let member = member_params(&[NAME]).signed_by(&key, &authority).unwrap();
        let verified = verify_member_certificate(authority.der(), member.der(), NOW).unwrap();
        assert_eq!(verified.signing_key, None);
    }

    #[test]
    fn names_must_be_exact() {
        let refused = |uris: &[&str]| verify(&member_params(uris)).unwrap_err();
        assert_eq!(refused(&[]), IdentityError::Names(0));
        assert_eq!(refused(&[NAME, NAME]), IdentityError::Names(2));
        for name in
            ["https://x/bank/a", "spiffe://x/bank", "spiffe://x/bank/a/b", "spiffe:///bank/a", "spiffe://X/bank/a"]
        {
            assert_eq!(refused(&[name]), IdentityError::NameForm, "{name}");
        }
        assert_eq!(refused(&["spiffe://x/banks/a"]), IdentityError::Role);
        for party in ["", "A", "a_b", "a%20b", &"a".repeat(33)] {
            assert_eq!(refused(&[&format!("spiffe://x/bank/{party}")]), IdentityError::Party, "{party}");
        }
    }

    #[test]
    fn time_authority_and_signature_are_checked() {
        let (ours, other) = (authority("CA"), authority("CA"));
        let member = member_params(&[NAME]).signed_by(&key(), &ours).unwrap();
        let verify_with = |ca: &[u8], now| verify_member_certificate(ca, member.der(), now).map(|_| ());
        assert_eq!(verify_with(other.der(), NOW), Err(IdentityError::Signature));
        assert_eq!(verify_with(authority("other").der(), NOW), Err(IdentityError::OtherIssuer));
        for (whose, now) in [(Whose::Member, 1_760_000_000), (Whose::Member, 1_800_000_000), (Whose::Authority, 0)] {
            let result = verify_with(ours.der(), now);
            assert!(matches!(result, Err(IdentityError::NotValidNow { whose: w, .. }) if w == whose), "{result:?}");
        }
        assert_eq!(verify_with(member.der(), NOW), Err(IdentityError::NotAnAuthority));
        let mut weak = authority_params("CA");
        weak.key_usages = vec![KeyUsagePurpose::CrlSign];
        let weak = CertifiedIssuer::self_signed(weak, key()).unwrap();
        assert_eq!(verify_with(weak.der(), NOW), Err(IdentityError::NotAnAuthority));

        let mut flipped = member.der().to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        let result = verify_member_certificate(ours.der(), &flipped, NOW);
        assert_eq!(result, Err(IdentityError::Signature));
        let trailing = [member.der(), &[0][..]].concat();
        let result = verify_member_certificate(ours.der(), &trailing, NOW);
        assert_eq!(result, Err(IdentityError::Malformed(Whose::Member)));
        let result = verify_member_certificate(ours.der(), &vec![0; MAX_CERTIFICATE_BYTES + 1], NOW);
        assert_eq!(result, Err(IdentityError::TooLong(Whose::Member, MAX_CERTIFICATE_BYTES + 1)));
    }

    #[test]
    fn a_member_is_no_authority_and_signs() {
        let mut params = member_params(&[NAME]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        assert_eq!(verify(&params), Err(IdentityError::MemberIsAuthority));
        params.is_ca = IsCa::ExplicitNoCa;
        assert!(verify(&params).is_ok());
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        assert_eq!(verify(&params), Err(IdentityError::MemberMayNotSign));
        params.key_usages = vec![];
        let mut unknown = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0]);
        unknown.set_criticality(true);
        params.custom_extensions = vec![unknown];
        assert_eq!(verify(&params), Err(IdentityError::CriticalExtension(Whose::Member)));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<usize>(), to in any::<u8>()) {
            let authority = authority("CA");
            prop_assert!(verify_member_certificate(authority.der(), &bytes, NOW).is_err());
            let mut certificate = member_params(&[NAME]).signed_by(&key(), &authority).unwrap().der().to_vec();
            let verified = verify_member_certificate(authority.der(), &certificate, NOW).unwrap();
            let at = at % certificate.len();
            certificate[at] = to;
            // The parser is lenient about the frame around what is signed; what it reads is what was signed.
            if let Ok(altered) = verify_member_certificate(authority.der(), &certificate, NOW) {
                prop_assert_eq!(altered, verified);
            }
        }
    }
}
