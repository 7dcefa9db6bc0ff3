//! `identity`: the machine has become another one. Each step in its order; programs of the image run as errands, and the
//! host is answered when the last has ended.

use super::errands::{request, Ended, Errand};
use super::jobs::Outcome;
use super::methods::clock_told;
use super::stillness::Stillness;
use super::Agent;
use crate::access::guest_error;
use crate::boot_id;
use crate::bus::Bus;
use crate::configure::MERGED_ROOT;
use crate::etc_files::{Held, Way};
use crate::identity::Identity;
use crate::{generation, hooks, kmsg, ssh_keys};
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use viv_protocol::{Code, Fields, Value, WireError};

const HOOK_PATIENCE: Duration = Duration::from_secs(10);
/// Large prime numbers take their time where code is translated.
const KEYS_PATIENCE: Duration = Duration::from_secs(30);

/// What comes after entropy, clock and names.
enum Step {
    Keys,
    Connect,
    Generation,
    Hook(String),
}

pub(super) struct Renaming {
    conversation: u64,
    stream: u32,
    identity: Arc<Identity>,
    /// What time is counted by since then, where that was to be changed.
    clock_source: Option<String>,
    steps: VecDeque<Step>,
    /// The program that is running.
    program: String,
    /// It was killed because its time was over.
    pub late: bool,
    /// Requests for when it is done: stream, method and parameters.
    next: Vec<(u32, String, Value)>,
    still: Option<Stillness>,
}

/// What a host sends together with an identity.
const MOST_NEXT: usize = 8;

impl Agent {
    pub(super) fn identity(&mut self, stream: u32, fields: &Fields<'_>) {
        match self.begin_identity(stream, fields) {
            Ok(renaming) => {
                if renaming.identity.copy {
                    self.orphan_sessions();
                }
                self.errand = Some(Errand::Identity(renaming));
                self.go_on_with_identity();
            }
            Err(error) => self.link.respond(stream, &Err(error)),
        }
    }

    fn begin_identity(&mut self, stream: u32, fields: &Fields<'_>) -> Result<Renaming, WireError> {
        self.no_errand()?;
        let still = self.take_stillness();
        let mut identity = Identity::read(fields)?;
        identity.unconnected = still.as_ref().is_some_and(|still| still.unconnected);
        identity.seen = still.as_ref().and_then(|still| still.card.clone());
        let clock_source = identity.choose_clock();
        identity.seed()?;
        let root = self.configured.as_ref().map(|_| MERGED_ROOT);
        let none = Held::default();
        let held = still.as_ref().map_or(&none, |still| &still.files);
        identity.name(root, Way::InPlace, held)?;
        // Where nothing of the user's has begun yet this start is its boot.
        if self.configured.is_some() && (identity.copy || self.workloads.is_empty()) {
            boot_id::renew().map_err(|error| guest_error("boot id", &error))?;
        }
        let mut steps = VecDeque::from([Step::Connect, Step::Generation]);
        let keys = still.as_ref().is_none_or(|still| still.host_keys);
        if keys && identity.copy && self.configured.is_some() {
            steps.push_front(Step::Keys);
        }
        Ok(Renaming {
            conversation: self.conversation,
            stream,
            identity: Arc::new(identity),
            clock_source,
            steps,
            program: String::new(),
            late: false,
            next: Vec::new(),
            still,
        })
    }

    /// Until something has to be waited for.
    fn go_on_with_identity(&mut self) {
        while let Some(Errand::Identity(renaming)) = &mut self.errand {
            let identity = Arc::clone(&renaming.identity);
            let waiting = match renaming.steps.pop_front() {
                None => {
                    let told = renaming.clock_source.take().map(clock_told);
                    return self.end_identity(Ok(Value::map(Vec::from_iter(told))));
                }
                Some(Step::Keys) => self.renew_keys(&identity),
                Some(Step::Connect) if identity.is_at_hand() => {
                    match identity.connect(&mut Bus::default()) {
                        Ok(()) => false,
                        Err(error) => return self.end_identity(Err(error)),
                    }
                }
                Some(Step::Connect) => return self.look_for_card(identity),
                Some(Step::Generation) => {
                    self.tell_generation(&identity);
                    false
                }
                Some(Step::Hook(name)) => self.run_hook(&name, &identity),
            };
            if waiting {
                return;
            }
        }
    }

    fn end_identity(&mut self, answer: Result<Value, WireError>) {
        if let Some(Errand::Identity(renaming)) = self.errand.take() {
            self.answer(renaming.conversation, renaming.stream, &answer);
            self.retire(renaming.still);
            for (stream, method, parameters) in renaming.next {
                if renaming.conversation == self.conversation {
                    self.request(stream, &method, &parameters);
                }
            }
        }
    }

    /// Whether a request that names the generation it is meant for may be looked at now. While that is being told it waits;
    /// what was to be done by another machine than this one is refused.
    pub(super) fn in_its_turn(
        &mut self,
        stream: u32,
        method: &str,
        parameters: &Value,
    ) -> Result<bool, WireError> {
        if !matches!(method, "workload.start" | "thaw") {
            return Ok(true);
        }
        let Some(wanted) = Fields(parameters).uint_if("generation")? else {
            return Ok(true);
        };
        match &mut self.errand {
            Some(Errand::Identity(renaming)) if renaming.next.len() < MOST_NEXT => {
                let request = (stream, method.to_owned(), parameters.clone());
                renaming.next.push(request);
                Ok(false)
            }
            _ if generation::get() == wanted => Ok(true),
            _ => Err(WireError::new(
                Code::Conflict,
                format!("this machine has not been told that it is generation {wanted}"),
            )),
        }
    }

    /// On a thread: the bus and the card may take their time. A card that is there is not worth one: the first thread costs
    /// 20 ms where code is translated cold.
    fn look_for_card(&mut self, identity: Arc<Identity>) {
        let job = move || Outcome::Connected(identity.connect(&mut Bus::default()));
        if let Err(error) = self.jobs.spawn(self.conversation, 0, job) {
            self.end_identity(Err(guest_error("a thread", &error)));
        }
    }

    pub(super) fn connected(&mut self, result: Result<(), WireError>) {
        match result {
            Ok(()) => self.go_on_with_identity(),
            Err(error) => self.end_identity(Err(error)),
        }
    }

    fn tell_generation(&mut self, identity: &Identity) {
        generation::set(identity.generation());
        if self.configured.is_none() {
            return;
        }
        let known = self.known_of_root();
        let root = match self.image_root() {
            Ok(root) => root,
            Err(error) => return self.warn(&error.message),
        };
        let shown = || generation::is_shown(root.as_fd()).unwrap_or(false);
        let shown = known.as_ref().map_or_else(shown, |(shown, _)| *shown);
        if !shown && self.root_workload().is_some() {
            generation::tell(root.as_fd(), "the root workload");
        }
        if identity.copy {
            match known.map_or_else(|| hooks::list(root.as_fd()), |(_, hooks)| Ok(hooks)) {
                Ok(names) => self.plan(names.into_iter().map(Step::Hook)),
                Err(error) => self.warn(&format!("{}: {error}", hooks::DIRECTORY)),
            }
        }
    }

    /// Whether the generation is shown, and which hooks there are, where the machine has stood still since that was looked at.
    fn known_of_root(&mut self) -> Option<(bool, Vec<String>)> {
        let Some(Errand::Identity(renaming)) = &mut self.errand else {
            return None;
        };
        let still = renaming.still.as_mut()?;
        Some((still.generation_shown, std::mem::take(&mut still.hooks)))
    }

    fn plan(&mut self, steps: impl Iterator<Item = Step>) {
        if let Some(Errand::Identity(renaming)) = &mut self.errand {
            renaming.steps.extend(steps);
        }
    }

    /// Whether new ones are being made.
    fn renew_keys(&mut self, identity: &Identity) -> bool {
        let removed = self.image_root().and_then(|root| {
            ssh_keys::remove(root.as_fd()).map_err(|error| guest_error("SSH host keys", &error))
        });
        match removed {
            Ok(0) => false,
            Ok(_) => self.run_program(&["ssh-keygen", "-A"], identity, KEYS_PATIENCE),
            Err(error) => {
                self.warn(&error.message);
                false
            }
        }
    }

    fn run_hook(&mut self, name: &str, identity: &Identity) -> bool {
        let path = format!("{}/{name}", hooks::DIRECTORY);
        self.run_program(&[&path], identity, HOOK_PATIENCE)
    }

    fn run_program(&mut self, argv: &[&str], identity: &Identity, within: Duration) -> bool {
        let env = [
            ("VIVARIUM_GENERATION", identity.generation().to_string()),
            ("VIVARIUM_HOSTNAME", identity.hostname().to_owned()),
            ("VIVARIUM_COPY", "1".to_owned()),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).to_vec();
        match self.run_in_image(request(argv, env), within) {
            Ok(_) => {
                if let Some(Errand::Identity(renaming)) = &mut self.errand {
                    renaming.program = argv.join(" ");
                    renaming.late = false;
                }
                true
            }
            Err(error) => {
                self.warn(&format!("{}: {}", argv.join(" "), error.message));
                false
            }
        }
    }

    pub(super) fn hook_ended(&mut self, ended: &Ended) {
        if let Some(Errand::Identity(renaming)) = &self.errand {
            if let Some(complaint) = complaint(renaming, ended) {
                self.warn(&complaint);
            }
        }
        self.go_on_with_identity();
    }

    /// For the host, and for whoever reads the console.
    fn warn(&mut self, text: &str) {
        kmsg::fail(text);
        self.event(vec![
            ("e", "log".into()),
            ("level", "warning".into()),
            ("text", text.into()),
        ]);
    }
}

fn complaint(renaming: &Renaming, ended: &Ended) -> Option<String> {
    let how = match ended.exit.signal_name() {
        _ if renaming.late => "took too long and was killed".to_owned(),
        Some(signal) => format!("ended by {signal}"),
        None if ended.exit.code == 0 => return None,
        None => format!("ended with {}", ended.exit.code),
    };
    let said = match ended.last_line.as_str() {
        "" => String::new(),
        line => format!(": {line}"),
    };
    Some(format!("{} {how}{said}", renaming.program))
}
