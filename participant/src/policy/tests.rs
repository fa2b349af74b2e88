//! Every refusal with its full text.

use super::*;

/// What the sample policy accepts.
fn request() -> PolicyRequest {
    PolicyRequest {
        federation: "jingjinji".to_owned(),
        kind: "scorecard".to_owned(),
        operator: Some("pilot-operator".to_owned()),
        view: "loans".to_owned(),
        columns: ["loan_id", "y", "set", "no_emp"].map(str::to_owned).to_vec(),
        series: None,
        parties: 3,
        min_contributors: 3,
        min_bin_rows: 20,
        adversary: Adversary::Malicious,
        per_party_evaluation: true,
        own_train_rows: Some(100),
        privacy: Some((2.0, 1e-7)),
        alignment: None,
    }
}

fn sample() -> Policy {
    Policy::parse(SAMPLE).expect("the sample is a policy")
}

fn refusals(policy: &Policy, change: impl FnOnce(&mut PolicyRequest)) -> Vec<String> {
    let mut request = request();
    change(&mut request);
    let refusals = policy.check(&request).expect_err("must be refused");
    refusals.iter().map(Refusal::to_string).collect()
}

#[test]
fn the_sample_accepts_what_it_names() {
    assert_eq!(sample().check(&request()), Ok(()));
    assert_eq!(sample().check(&PolicyRequest { own_train_rows: None, ..request() }), Ok(()));
}

#[test]
fn each_refusal_names_the_line_and_what_to_change() {
    let policy = sample();
    let one = |change: fn(&mut PolicyRequest)| refusals(&policy, change).join("\n");
    assert_eq!(
        one(|r| r.federation = "changsanjiao".to_owned()),
        "the job belongs to the federation \"changsanjiao\", which policy.toml line 5 ([accept] federations) does not list; \
         to accept it add \"changsanjiao\" there, otherwise the operator leaves us out of the roster"
    );
    assert_eq!(
        one(|r| r.kind = "trees".to_owned()),
        "the job is of the kind \"trees\", which policy.toml line 6 ([accept] kinds) does not list; \
         to accept it add \"trees\" there, otherwise the operator submits a kind that we accept"
    );
    assert_eq!(
        one(|r| r.operator = Some("eve".to_owned())),
        "the job was submitted by \"eve\", whom policy.toml line 7 ([accept] operators) does not list; \
         to accept it add the operator there, otherwise a listed operator submits the job"
    );
    assert!(one(|r| r.operator = None).starts_with("the job was submitted by an operator without a name, whom "));
    assert_eq!(
        one(|r| r.view = "贷款".to_owned()),
        "the job reads the view \"贷款\", which policy.toml line 10 ([columns] views) does not list; \
         to accept it add \"贷款\" there, otherwise the operator names a view that we offer"
    );
    assert_eq!(
        one(|r| r.columns.extend(["owner_id".to_owned(), "phone".to_owned()])),
        "the job reads the columns \"owner_id\", \"phone\" of the view \"loans\", which policy.toml line 13 ([columns] allow) \
         does not list; to accept the job add them there, otherwise the operator takes them out of the job"
    );
    assert_eq!(
        one(|r| r.parties = 2),
        "the job has 2 parties with data, policy.toml line 20 ([minimum] parties) asks for at least 3: \
         the fewer they are, the more a sum says about each; lower it there or have the operator invite 1 more"
    );
    assert_eq!(
        one(|r| r.min_contributors = 2),
        "the job opens a sum of 2 contributions, policy.toml line 20 ([minimum] parties) asks for at least 3: \
         the fewer they are, the more a sum says about each; lower it there or have the operator raise the job's minimum to 3"
    );
    assert_eq!(
        one(|r| r.own_train_rows = Some(99)),
        "we would bring 99 training rows, policy.toml line 21 ([minimum] rows) asks for at least 100 before anything is sent; \
         lower it there, widen the view, or stay out of this job"
    );
    assert_eq!(
        one(|r| r.min_bin_rows = 5),
        "the job allows bins of 5 rows, policy.toml line 22 ([minimum] bin_rows) asks for at least 20: \
         a small bin says much about the firms in it; lower it there or have the operator raise the job's smallest bin to 20"
    );
    assert_eq!(
        one(|r| r.adversary = Adversary::SemiHonest),
        "the job protects against a semi-honest coordinator, policy.toml line 23 ([minimum] adversary) asks for malicious; \
         accept the weaker rule there or have the operator submit the job with adversary malicious"
    );
}

#[test]
fn own_results_stay_at_home_when_the_policy_says_so() {
    let policy = Policy::parse(&SAMPLE.replace("own_metrics = true", "own_metrics = false")).expect("a policy");
    assert_eq!(
        refusals(&policy, |_| ()),
        ["the job evaluates each party apart, so that the others learn our own results, \
          which policy.toml line 26 ([results] own_metrics) forbids; \
          set own_metrics = true there or have the operator switch the evaluation per party off"]
    );
    assert_eq!(policy.check(&PolicyRequest { per_party_evaluation: false, ..request() }), Ok(()));
}

/// The sample without its section `[privacy]`.
fn without_privacy() -> &'static str {
    SAMPLE.split_once("\n[privacy]\n").expect("the sample has it").0
}

#[test]
fn the_privacy_budget_is_read() {
    assert_eq!(sample().budget(), Some(Budget { epsilon: 8.0, delta: 1e-6 }));
    let whole = Policy::parse(&SAMPLE.replace("epsilon = 8.0", "epsilon = 8")).expect("an integer will do");
    assert_eq!(whole.budget(), sample().budget());
    assert_eq!(Policy::parse(without_privacy()).expect("a policy").budget(), None);
    let short = format!("{}[privacy]\nepsilon = 0.5\ndelta = 0.01", without_privacy());
    assert_eq!(Policy::parse(&short).expect("a policy").budget(), Some(Budget { epsilon: 0.5, delta: 0.01 }));
}

#[test]
fn a_privacy_budget_is_a_number_that_can_be_kept() {
    let message = |from: &str, to: &str| {
        assert!(SAMPLE.contains(from));
        Policy::parse(&SAMPLE.replace(from, to)).expect_err("must be refused").to_string()
    };
    for (found, shown) in [("0.0", "0.0"), ("-1.0", "-1.0"), ("inf", "inf"), ("nan", "NaN")] {
        assert_eq!(
            message("epsilon = 8.0", &format!("epsilon = {found}")),
            format!("policy.toml line 31: [privacy] epsilon = {shown} is not a budget; write a number above 0")
        );
    }
    for (found, shown) in [("0.0", "0.0"), ("-1e-6", "-1e-6"), ("1e-21", "1e-21"), ("0.011", "0.011"), ("nan", "NaN")] {
        assert_eq!(
            message("delta = 1e-6", &format!("delta = {found}")),
            format!(
                "policy.toml line 32: [privacy] delta = {shown} is not a budget; \
                 write a number from 1e-20 to 0.01, less than one in the number of firms"
            )
        );
    }
    assert!(message("delta = 1e-6", "").contains("missing field `delta`"));
    assert!(message("required = false", "require = true").contains("unknown field `require`"));
}

#[test]
fn what_a_job_may_spend() {
    let policy = sample();
    for privacy in [None, Some((8.0, 1e-6)), Some((0.01, 1e-20))] {
        assert_eq!(policy.check(&PolicyRequest { privacy, ..request() }), Ok(()));
    }
    let too_much = refusals(&policy, |r| r.privacy = Some((8.5, 1e-5)));
    assert_eq!(
        too_much,
        [
            "the job spends epsilon = 8.5 at delta = 1e-5 of each firm's privacy, policy.toml line 31 ([privacy] epsilon) \
             allows 8 for all jobs together; raise it there or have the operator submit the job with epsilon = 8 or less",
            "the job promises its epsilon but for a probability of delta = 1e-5, policy.toml line 32 ([privacy] delta) \
             allows 1e-6; raise it there or have the operator submit the job with delta = 1e-6 or less"
        ]
    );
    assert_eq!(refusals(&policy, |r| r.privacy = Some((f64::NAN, f64::NAN))).len(), 2);
    let request = PolicyRequest { privacy: Some((8.5, 1e-6)), ..request() };
    let codes: Vec<_> = policy.check(&request).expect_err("refused").iter().map(Refusal::code).collect();
    assert_eq!(codes, ["policy_privacy_budget"]);
}

#[test]
fn without_a_budget_nothing_is_spent() {
    let policy = Policy::parse(without_privacy()).expect("a policy");
    assert_eq!(policy.check(&PolicyRequest { privacy: None, ..request() }), Ok(()));
    assert_eq!(
        refusals(&policy, |_| ()),
        ["the job spends epsilon = 2 at delta = 1e-7 of each firm's privacy, policy.toml has no section [privacy] \
          that allows anything to be spent; to accept the job add one with what all jobs together may spend, \
          otherwise the operator leaves us out of the roster"]
    );
    let refused = policy.check(&request()).expect_err("refused");
    assert_eq!(refused[0].code(), "policy_privacy_no_budget");
}

#[test]
fn noise_can_be_asked_for() {
    let policy = Policy::parse(&SAMPLE.replace("required = false", "required = true")).expect("a policy");
    assert_eq!(policy.check(&request()), Ok(()));
    let refused = policy.check(&PolicyRequest { privacy: None, ..request() }).expect_err("refused");
    assert_eq!(refused[0].code(), "policy_privacy_required");
    assert_eq!(
        refused[0].to_string(),
        "the job adds no noise, so that its sums may tell something about a single firm; \
         policy.toml line 33 ([privacy] required) accepts only jobs that do; \
         set required = false there or have the operator give the job a table [privacy]"
    );
}

#[test]
fn a_deny_list_opens_the_rest_of_the_view() {
    let (head, tail) = SAMPLE.split_once("allow = [").expect("the sample has it");
    let (_, tail) = tail.split_once("]\n").expect("it ends");
    let policy = Policy::parse(&format!("{head}deny = [\"phone\"]\n{tail}")).expect("a policy");
    let more = |name: &str| request().columns.into_iter().chain([name.to_owned()]).collect();
    assert_eq!(policy.check(&PolicyRequest { columns: more("anything"), ..request() }), Ok(()));
    assert_eq!(
        refusals(&policy, |r| r.columns = more("phone")),
        [
            "the job reads the column \"phone\" of the view \"loans\", which policy.toml line 13 ([columns] deny) denies; \
          to accept the job take it off that list, otherwise the operator takes it out of the job"
        ]
    );
}

#[test]
fn a_second_view_is_checked_like_the_first() {
    let columns = ["loan_id", "month", "paid"].map(str::to_owned).to_vec();
    let monthly = || Some(ViewRequest { view: "monthly".to_owned(), columns: columns.clone() });
    assert_eq!(
        refusals(&sample(), |r| r.series = monthly()),
        [
            "the job reads the view \"monthly\", which policy.toml line 10 ([columns] views) does not list; \
             to accept it add \"monthly\" there, otherwise the operator names a view that we offer",
            "the job reads the columns \"month\", \"paid\" of the view \"monthly\", which policy.toml line 13 \
             ([columns] allow) does not list; to accept the job add them there, otherwise the operator takes them out of the job"
        ]
    );
    let wider = SAMPLE.replace("views = [\"loans\"]", "views = [\"loans\", \"monthly\"]");
    let codes = |policy: &str| {
        let request = PolicyRequest { series: monthly(), ..request() };
        let refused = Policy::parse(policy).expect("a policy").check(&request);
        refused.map_err(|refusals| refusals.iter().map(Refusal::code).collect::<Vec<_>>())
    };
    assert_eq!(codes(&wider), Err(vec!["policy_columns_not_allowed"]));
    let allowed = wider.replace("\"loan_id\",", "\"loan_id\", \"month\", \"paid\",");
    assert_eq!(codes(&allowed), Ok(()));
    assert_eq!(codes(&allowed.replace("\"monthly\"", "\"weekly\"")), Err(vec!["policy_view"]));
}

#[test]
fn without_a_list_of_operators_any_may_submit() {
    let line = SAMPLE.lines().find(|line| line.starts_with("operators")).expect("the sample has it");
    let policy = Policy::parse(&SAMPLE.replace(line, "")).expect("a policy");
    assert_eq!(policy.check(&PolicyRequest { operator: None, ..request() }), Ok(()));
}

#[test]
fn all_reasons_come_at_once_and_have_codes() {
    let request = PolicyRequest { federation: "x".into(), kind: "y".into(), view: "z".into(), parties: 1, ..request() };
    let codes: Vec<_> = sample().check(&request).expect_err("refused").iter().map(Refusal::code).collect();
    assert_eq!(codes, ["policy_federation", "policy_kind", "policy_view", "policy_parties"]);
}

#[test]
fn a_policy_that_says_too_little_or_too_much_is_not_read() {
    let message = |text: &str| Policy::parse_named(text, "rules.toml").expect_err("must be refused").to_string();
    let text = message(&SAMPLE.replace("bin_rows", "binrows"));
    assert!(text.starts_with("rules.toml: TOML parse error at line 22"), "{text}");
    assert!(text.contains("unknown field `binrows`"), "{text}");
    let text = message(&SAMPLE.replace("kinds = [\"scorecard\"]", ""));
    assert!(text.contains("missing field `kinds`"), "{text}");
    let text = message(&SAMPLE.replace("adversary = \"malicious\"", "adversary = \"honest\""));
    assert!(text.contains("expected `semi-honest` or `malicious`"), "{text}");
    assert_eq!(
        message(&SAMPLE.replace("parties = 3", "parties = 0")),
        "rules.toml line 20: [minimum] parties = 0 would protect nothing; write at least 1"
    );
    assert_eq!(
        message(&SAMPLE.replace("views = [\"loans\"]", "views = [\"loans\"]\ndeny = []")),
        "rules.toml line 9: [columns] has both of `allow` and `deny`; write exactly one of them"
    );
    let (head, tail) = SAMPLE.split_once("allow = [").expect("the sample has it");
    let (_, tail) = tail.split_once("]\n").expect("it ends");
    assert_eq!(
        message(&format!("{head}{tail}")),
        "rules.toml line 9: [columns] has neither of `allow` and `deny`; write exactly one of them"
    );
    assert_eq!(message("").lines().last(), Some("missing field `accept`"));
}

fn aligning(change: impl FnOnce(&mut AlignmentRequest)) -> PolicyRequest {
    let mut alignment = AlignmentRequest { max_firms: 1_000_000, min_common: 100 };
    change(&mut alignment);
    PolicyRequest { kind: "joint_scorecard".to_owned(), alignment: Some(alignment), ..request() }
}

/// The sample, with vertical jobs among its kinds.
fn vertical() -> String {
    SAMPLE.replace("kinds = [\"scorecard\"]", "kinds = [\"scorecard\", \"joint_scorecard\"]")
}

#[test]
fn alignments_are_bounded() {
    let policy = Policy::parse(&vertical()).expect("a policy");
    assert_eq!(policy.check(&aligning(|_| ())), Ok(()));
    assert_eq!(policy.alignments_per_day(), 10);
    let one = |change: fn(&mut AlignmentRequest)| {
        let refusals = policy.check(&aligning(change)).expect_err("must be refused");
        refusals.iter().map(Refusal::to_string).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        one(|a| a.max_firms = 2_000_000),
        "the job lets a party bring 2000000 firms, policy.toml line 38 ([alignment] max_firms) allows 1000000: whoever brings a \
         whole registry learns who our firms are; raise it there or have the operator submit the job with max_firms = 1000000 or \
         less"
    );
    assert_eq!(
        one(|a| a.min_common = 50),
        "the job goes on with 50 firms in common, policy.toml line 39 ([alignment] min_common) asks for at least 100: the fewer \
         they are, the more is told about each; lower it there or have the operator submit the job with min_common = 100 or more"
    );
    let tax = PartyId::new("tax").expect("a party");
    assert_eq!(policy.check_often(&tax, 9), None);
    assert_eq!(
        policy.check_often(&tax, 10).expect("refused").to_string(),
        "we aligned our firms with tax 10 times in the last 24 hours, policy.toml line 40 ([alignment] per_peer_per_day) allows 10: \
         differences between alignments tell more than each; raise it there or submit the job later"
    );
}

#[test]
fn without_a_section_nothing_is_aligned() {
    let text = vertical();
    let policy = Policy::parse(&text[..text.find("[alignment]").expect("the sample has one")]).expect("a policy");
    let refusals = policy.check(&aligning(|_| ())).expect_err("must be refused");
    assert_eq!(refusals.iter().map(Refusal::code).collect::<Vec<_>>(), ["policy_alignment"]);
    assert_eq!(policy.alignments_per_day(), 0);
    assert_eq!(policy.check(&request()), Ok(()), "other jobs are accepted");
}

#[test]
fn ten_a_day_unless_the_file_says_otherwise() {
    let text = vertical();
    let policy = Policy::parse(&text[..text.find("per_peer_per_day").expect("the sample has one")]).expect("a policy");
    assert_eq!(policy.alignments_per_day(), 10);
    let tax = PartyId::new("tax").expect("a party");
    let refusal = policy.check_often(&tax, 11).expect("refused").to_string();
    let rule = "policy.toml ([alignment] per_peer_per_day, as it does not say otherwise) allows 10";
    assert!(refusal.contains(rule), "{refusal}");
    let zero = Policy::parse(&text.replace("per_peer_per_day = 10", "per_peer_per_day = 0"));
    assert!(matches!(zero, Err(PolicyError::ZeroMinimum { line: 40, .. })), "{zero:?}");
}

#[test]
fn a_label_holder_sees_as_many_scores_as_the_file_says() {
    let policy = Policy::parse(&vertical()).expect("a policy");
    let bank = PartyId::new("bank").expect("a party");
    assert_eq!((policy.score_vectors(), policy.check_shown(&bank, 198, 2)), (Some(200), None));
    let refusal = policy.check_shown(&bank, 199, 2).expect("refused");
    assert_eq!(refusal.code(), "policy_alignment_scores");
    assert_eq!(
        refusal.to_string(),
        "bank has seen 199 score vectors of our columns over all jobs, policy.toml line 41 ([alignment] score_vectors_per_peer) \
         allows 200: with as many as there are columns it can find out the columns; raise it there, or take no part"
    );
    let text = vertical();
    let unlimited =
        Policy::parse(&text[..text.find("score_vectors_per_peer").expect("in the sample")]).expect("a policy");
    assert_eq!((unlimited.score_vectors(), unlimited.check_shown(&bank, 1_000_000, 2)), (None, None));
    let zero = Policy::parse(&text.replace("score_vectors_per_peer = 200", "score_vectors_per_peer = 0"));
    assert!(matches!(zero, Err(PolicyError::ZeroMinimum { line: 41, .. })), "{zero:?}");
}
