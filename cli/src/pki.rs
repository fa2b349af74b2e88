//! `haihe pki`: a private certificate authority for a federation.
//!
//! Every member gets two certificates: one for TLS, one that binds its Ed25519 signing key, so that what it signs can be
//! checked long after the connection is gone. Both name it as `spiffe://<federation>/<role>/<party>`.

use std::{
    fs,
    io::Write as _,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use haihe_protocol::id::PartyId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, SanType, date_time_ymd,
};

/// Subcommands of `haihe pki`.
#[derive(Subcommand)]
pub enum PkiCommand {
    /// Make the authority of a new federation: DIR/ca.crt and DIR/ca.key. Keep the key off every other machine.
    Init {
        /// Folder of the authority; must not hold one yet.
        dir: PathBuf,
        /// Name of the federation: 1 to 32 of a-z, 0-9 and '-'.
        #[arg(long)]
        federation: String,
    },
    /// Issue the keys and certificates of one member into DIR/PARTY.
    Issue {
        /// Folder of the authority.
        dir: PathBuf,
        /// What the member does.
        #[arg(long)]
        role: Role,
        /// Its name: 1 to 32 of a-z, 0-9 and '-'.
        #[arg(long)]
        party: String,
        /// Host names and addresses under which a coordinator is reached; may be repeated.
        #[arg(long, default_values = ["localhost", "127.0.0.1"])]
        host: Vec<String>,
    },
}

/// Roles of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Schedules rounds.
    Coordinator,
    /// Holds loans and labels.
    Bank,
    /// Holds government data.
    Government,
    /// A core enterprise.
    Enterprise,
    /// Submits and watches jobs.
    Operator,
}

impl Role {
    fn as_str(self) -> &'static str {
        match self {
            Role::Coordinator => "coordinator",
            Role::Bank => "bank",
            Role::Government => "government",
            Role::Enterprise => "enterprise",
            Role::Operator => "operator",
        }
    }
}

/// Runs a subcommand.
pub fn run(command: PkiCommand) -> anyhow::Result<()> {
    match command {
        PkiCommand::Init { dir, federation } => {
            init(&dir, &federation)?;
            println!("authority of federation {federation}: {}", dir.join("ca.crt").display());
            println!("next: haihe pki issue {} --role coordinator --party coordinator --host HOST", dir.display());
        }
        PkiCommand::Issue { dir, role, party, host } => {
            let folder = issue(&dir, role, &party, &host)?;
            println!("keys and certificates of {party}: {}", folder.display());
            println!("hand the folder over on a safe way; no copy is needed here");
        }
    }
    Ok(())
}

/// Makes an authority.
pub fn init(dir: &Path, federation: &str) -> anyhow::Result<()> {
    let federation = PartyId::new(federation).context("name of the federation")?;
    if dir.join("ca.key").exists() {
        bail!("{} already holds an authority; take another folder", dir.display());
    }
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let key = KeyPair::generate().context("making a key")?;
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Haihe federation {federation}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for_years(&mut params, 10);
    let certificate = params.self_signed(&key).context("signing the authority's certificate")?;
    write(&dir.join("ca.crt"), &certificate.pem(), 0o644)?;
    write(&dir.join("ca.key"), &key.serialize_pem(), 0o600)?;
    write(&dir.join("federation"), federation.as_str(), 0o644)
}

fn valid_for_years(params: &mut CertificateParams, years: i32) {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    // From yesterday, for clocks that differ.
    let from = today.yesterday().unwrap_or(today);
    let date = |d: jiff::civil::Date, years: i32| {
        let day = if d.month() == 2 { d.day().min(28) } else { d.day() };
        date_time_ymd(i32::from(d.year()) + years, d.month() as u8, day as u8)
    };
    params.not_before = date(from, 0);
    params.not_after = date(from, years);
}

/// Issues a member's keys and certificates; returns their folder.
pub fn issue(dir: &Path, role: Role, party: &str, hosts: &[String]) -> anyhow::Result<PathBuf> {
    let party = PartyId::new(party).context("--party")?;
    let read = |name: &str| {
        let path = dir.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}; run `haihe pki init` first", path.display()))
    };
    let federation = read("federation")?;
    let authority = read("ca.crt")?;
    let key = KeyPair::from_pem(&read("ca.key")?).context("the authority's key is damaged")?;
    let issuer = Issuer::from_ca_cert_pem(&authority, key).context("the authority's certificate is damaged")?;
    let folder = dir.join(party.as_str());
    if folder.exists() {
        bail!("{} exists already; remove it to issue anew", folder.display());
    }
    fs::create_dir_all(&folder)?;

    let uri = format!("spiffe://{}/{}/{party}", federation.trim(), role.as_str());
    let params = |purpose: &str| -> anyhow::Result<CertificateParams> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, format!("{party} {purpose}"));
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        valid_for_years(&mut params, 1);
        Ok(params)
    };
    let mut tls = params("TLS")?;
    tls.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    if role == Role::Coordinator {
        tls.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        for host in hosts {
            tls.subject_alt_names.push(match host.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.as_str().try_into().with_context(|| format!("--host {host}"))?),
            });
        }
    }
    let tls_key = KeyPair::generate()?;
    let signing_key = KeyPair::generate_for(&PKCS_ED25519)?;
    write(&folder.join("ca.crt"), &authority, 0o644)?;
    write(&folder.join("tls.crt"), &tls.signed_by(&tls_key, &issuer)?.pem(), 0o644)?;
    write(&folder.join("tls.key"), &tls_key.serialize_pem(), 0o600)?;
    let signing = params("signing")?.signed_by(&signing_key, &issuer)?;
    write(&folder.join("signing.crt"), &signing.pem(), 0o644)?;
    write(&folder.join("signing.key"), &signing_key.serialize_pem(), 0o600)?;
    Ok(folder)
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    let mut file = options.open(path).with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use haihe_privacy::identity::verify_member_certificate;
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};

    use super::*;

    fn der(path: &Path) -> Vec<u8> {
        CertificateDer::from_pem_file(path).expect("a certificate").to_vec()
    }

    #[test]
    fn certificates_name_member_role_and_federation() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let dir = folder.path().join("pki");
        init(&dir, "jingjinji").expect("init");
        assert!(init(&dir, "other").is_err(), "an authority is never overwritten");
        let bank = issue(&dir, Role::Bank, "bj", &[]).expect("issue");
        assert!(issue(&dir, Role::Bank, "bj", &[]).is_err(), "a member is never overwritten");
        assert!(issue(&dir, Role::Bank, "../x", &[]).is_err());
        let now = jiff::Timestamp::now().as_second();
        for (file, signs) in [("tls.crt", false), ("signing.crt", true)] {
            let member = verify_member_certificate(&der(&dir.join("ca.crt")), &der(&bank.join(file)), now);
            let member = member.expect("the certificate verifies");
            assert_eq!(
                (member.federation.as_str(), member.role.as_str(), member.party.as_str()),
                ("jingjinji", "bank", "bj")
            );
            assert_eq!(member.signing_key.is_some(), signs, "{file}");
        }
        let other = folder.path().join("other");
        init(&other, "jingjinji").expect("init");
        let foreign = verify_member_certificate(&der(&other.join("ca.crt")), &der(&bank.join("tls.crt")), now);
        assert!(foreign.is_err(), "another authority does not vouch for it");
    }
}
