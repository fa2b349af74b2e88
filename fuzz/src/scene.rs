//! A federation for targets: keys, certificates, tables, and a whole job learned in the clear.

use std::sync::OnceLock;

use haihe_models::table::{Column, Split, Table};
use haihe_privacy::sign::SigningKey;
use haihe_protocol::{
    horizontal::{Layout, Next, Plan, Task},
    id::{PartyId, Timestamp},
    job::JobSpec,
    roster::Trust,
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};

/// When everything begins.
pub(crate) const NOW: Timestamp = Timestamp(1_780_000_000_000);

/// A job file for three parties.
pub(crate) const JOB: &str = r#"
[job]
name = "fuzz"
parties = ["bj", "he", "tj"]
[data]
view = "loans"
key = "id"
label = "y"
split = { column = "set" }
columns = [{ name = "size", kind = "numeric" }, { name = "trade", kind = "categorical", levels = ["a", "b"] }]
[deadlines]
attempts = 2
[scorecard]
binning = { min_bin_rows = 1, fine_cells = 4, max_bins = 3, min_chi_square = 0 }
selection = { min_iv = 0, max_p_value = 1, require_positive = false, max_correlation = 1 }
evaluation = { cells = 10 }
"#;

pub(crate) fn job_of(parties: &[&str], more: &str) -> String {
    let names: Vec<String> = parties.iter().map(|p| format!("{p:?}")).collect();
    JOB.replace(r#"["bj", "he", "tj"]"#, &format!("[{}]\n{more}", names.join(", ")))
}

/// Certificates made on the spot.
pub(crate) struct Federation {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

fn pair(key: &SigningKey) -> KeyPair {
    KeyPair::from_pem(&key.to_pkcs8_pem().expect("keys encode")).expect("a key pair")
}

/// The one federation of all targets.
pub(crate) fn federation() -> &'static Federation {
    static FEDERATION: OnceLock<Federation> = OnceLock::new();
    FEDERATION.get_or_init(|| {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2045, 1, 1));
        let key = pair(&SigningKey::from_seed([1; 32]));
        Federation { issuer: CertifiedIssuer::self_signed(params, key).expect("an authority") }
    })
}

impl Federation {
    pub(crate) fn trust(&self) -> Trust {
        Trust::new("fuzz", self.authority())
    }

    /// The authority's certificate, DER.
    pub(crate) fn authority(&self) -> Vec<u8> {
        self.issuer.der().to_vec()
    }

    pub(crate) fn key(&self, party: &str) -> SigningKey {
        let mut seed = [7; 32];
        seed.iter_mut().zip(party.bytes()).for_each(|(s, b)| *s = b);
        SigningKey::from_seed(seed)
    }

    pub(crate) fn certificate(&self, role: &str, party: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        let name = format!("spiffe://fuzz/{role}/{party}");
        params.subject_alt_names = vec![SanType::URI(name.as_str().try_into().expect("a URI"))];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2045, 1, 1));
        params.signed_by(&pair(&self.key(party)), &self.issuer).expect("a certificate").der().to_vec()
    }
}

/// The rows of one party.
pub(crate) fn table(spec: &JobSpec, party: usize) -> Table {
    let rows = 40;
    let mix = |row: usize| (row * 7 + party * 5) % 11;
    Table {
        specs: spec.data.columns.clone(),
        columns: vec![
            Column::Numeric((0..rows).map(|r| if r == 3 { f64::NAN } else { mix(r) as f64 - 2.0 }).collect()),
            Column::Categorical((0..rows).map(|r| (r * r + party) as u32 % 4).collect()),
        ],
        label: (0..rows).map(|r| mix(r) + r % 5 < 6).collect(),
        split: (0..rows).map(|r| if r % 4 == 0 { Split::Test } else { Split::Train }).collect(),
        firms: None,
    }
}

pub(crate) fn names(spec: &JobSpec) -> Vec<PartyId> {
    spec.job.parties.clone()
}

/// One step of a job that was learned in the clear.
pub(crate) struct Step {
    pub(crate) plan: Plan,
    pub(crate) task: Task,
    pub(crate) sum: Vec<u64>,
}

/// Every step of the job, and its result.
pub(crate) fn course() -> &'static (JobSpec, Vec<Step>, String) {
    static COURSE: OnceLock<(JobSpec, Vec<Step>, String)> = OnceLock::new();
    COURSE.get_or_init(|| {
        let spec = JobSpec::parse(JOB).expect("a valid job");
        let parties = names(&spec);
        let mut plan = Plan::begin(&spec);
        let mut steps = Vec::new();
        loop {
            let task = plan.task();
            let Ok(Layout::Exact(quantiser)) = task.layout(&spec, 3, 2) else { panic!("a layout without noise") };
            let mut rng = haihe_privacy::prg::SecretStream::new(&[5; 32], steps.len() as u64);
            let mut sum = vec![0u64; quantiser.dimension()];
            for party in 0..3 {
                let values = task.perform(&spec, &table(&spec, party), party as u32, 3).expect("performs");
                let mut slots = vec![0u32; values.len()];
                quantiser.quantise(0, &values, &mut slots, &mut rng).expect("quantises");
                sum.iter_mut().zip(&slots).for_each(|(s, v)| *s += u64::from(*v));
            }
            steps.push(Step { plan: plan.clone(), task, sum: sum.clone() });
            match plan.absorb_sum(&spec, &parties, 2, &sum, 3).expect("goes on").1 {
                Next::Continue(next) => plan = *next,
                Next::Finished(result) => return (spec, steps, result),
            }
        }
    })
}
