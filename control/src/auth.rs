//! Names and passwords of clients.
//!
//! Passwords are stored as Argon2id hashes in PHC form (`$argon2id$v=19$m=19456,t=2,p=1$salt$hash`). Checking one takes
//! tens of milliseconds and 19 MiB on purpose, so it never happens on a worker core: [`Authenticator`] does it on its own
//! thread, one at a time, behind a short queue. Whether a name exists cannot be told from the time that a refusal takes.

use std::collections::HashMap;
use std::thread;

use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher, PasswordVerifier};
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use futures::channel::oneshot;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// Logins that wait. At about 30 ms each the last one waits two seconds; more are told to come again.
const QUEUE_LOGINS_MAX: usize = 64;
/// What a hash in the configuration may ask for: 64 MiB and 16 passes.
const MEMORY_KIB_MAX: u32 = 64 << 10;
const PASSES_MAX: u32 = 16;
/// Longer ones are no passwords.
const PASSWORD_BYTES_MAX: usize = 1024;

/// A stored password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash(phc::PasswordHash);

impl PasswordHash {
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let hash = phc::PasswordHash::new(text).map_err(|error| error.to_string())?;
        let params = Params::try_from(&hash).map_err(|error| error.to_string())?;
        if argon2::Algorithm::try_from(hash.algorithm.as_str()).is_err() {
            return Err(format!("its algorithm is {}, not argon2id", hash.algorithm));
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err("its salt or hash is missing".to_owned());
        }
        if params.m_cost() > MEMORY_KIB_MAX || params.t_cost() > PASSES_MAX || params.p_cost() != 1 {
            return Err(format!("it asks for more than m={MEMORY_KIB_MAX},t={PASSES_MAX},p=1"));
        }
        Ok(PasswordHash(hash))
    }

    /// With a random salt and the cost that is usual today.
    ///
    /// # Errors
    /// When the password is too long, or the system gives no random bytes.
    pub fn of(password: &[u8]) -> Result<Self, String> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(format!("a password has at most {PASSWORD_BYTES_MAX} bytes"));
        }
        Argon2::default().hash_password(password).map(PasswordHash).map_err(|error| error.to_string())
    }

    /// Slow on purpose. The comparison takes the same time wherever the difference lies.
    pub fn matches(&self, password: &[u8]) -> bool {
        password.len() <= PASSWORD_BYTES_MAX && Argon2::default().verify_password(password, &self.0).is_ok()
    }
}

impl std::fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    Accepted,
    Refused,
    /// Too many logins at once; the same one may succeed later.
    Busy,
}

struct Attempt {
    user: String,
    password: Vec<u8>,
    answer: oneshot::Sender<Login>,
}

/// Checks logins; cheap to clone. Its future can be awaited on any runtime.
#[derive(Clone)]
pub struct Authenticator {
    /// None: no users are configured, so nobody is asked.
    queue: Option<Sender<Attempt>>,
}

impl Authenticator {
    /// `users` are names and hashes. Without any, every login is accepted.
    ///
    /// # Errors
    /// A hash that cannot be read, or no thread to be had.
    pub fn start(users: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let users: HashMap<String, PasswordHash> = users
            .into_iter()
            .map(|(name, hash)| PasswordHash::parse(&hash).map(|hash| (name, hash)))
            .collect::<Result<_, _>>()?;
        if users.is_empty() {
            return Ok(Authenticator { queue: None });
        }
        let checker = Checker::new(users)?;
        let (queue, attempts) = bounded(QUEUE_LOGINS_MAX);
        thread::Builder::new()
            .name("millstream-auth".to_owned())
            .spawn(move || checker.run(&attempts))
            .map_err(|error| error.to_string())?;
        Ok(Authenticator { queue: Some(queue) })
    }

    pub fn asks_for_passwords(&self) -> bool {
        self.queue.is_some()
    }

    pub async fn login(&self, user: &str, password: &[u8]) -> Login {
        let Some(queue) = &self.queue else { return Login::Accepted };
        // Checked before it is copied: both come from a peer.
        if user.len() > PASSWORD_BYTES_MAX || password.len() > PASSWORD_BYTES_MAX {
            return Login::Refused;
        }
        let (answer, verdict) = oneshot::channel();
        match queue.try_send(Attempt { user: user.to_owned(), password: password.to_vec(), answer }) {
            Ok(()) => verdict.await.unwrap_or(Login::Busy),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Login::Busy,
        }
    }
}

struct Checker {
    users: HashMap<String, PasswordHash>,
    /// Checked for names that do not exist, so that they take as long.
    decoy: PasswordHash,
    /// A fast digest of each password that was right, under a key of this process alone: a client that reconnects
    /// need not pay again.
    accepted: HashMap<String, [u8; 32]>,
    key: [u8; 32],
}

impl Checker {
    fn new(users: HashMap<String, PasswordHash>) -> Result<Self, String> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| error.to_string())?;
        let decoy = PasswordHash::of(&key)?;
        Ok(Checker { users, decoy, accepted: HashMap::new(), key })
    }

    /// Ends when the last [`Authenticator`] is gone.
    fn run(mut self, attempts: &Receiver<Attempt>) {
        for attempt in attempts {
            let verdict = self.check(&attempt.user, &attempt.password);
            // A client that went away meanwhile needs no answer.
            let _ = attempt.answer.send(verdict);
        }
    }

    fn check(&mut self, user: &str, password: &[u8]) -> Login {
        let digest: [u8; 32] = Sha256::new().chain_update(self.key).chain_update(password).finalize().into();
        if let Some(accepted) = self.accepted.get(user)
            && bool::from(accepted.ct_eq(&digest))
        {
            return Login::Accepted;
        }
        let known = self.users.get(user);
        let matches = known.unwrap_or(&self.decoy).matches(password);
        if matches && known.is_some() {
            self.accepted.insert(user.to_owned(), digest);
            return Login::Accepted;
        }
        Login::Refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        futures::executor::block_on(future)
    }

    #[test]
    fn only_the_right_password_of_a_known_user_is_accepted() {
        let hash = PasswordHash::of(b"correct horse").unwrap().to_string();
        let authenticator = Authenticator::start([("anna".to_owned(), hash)]).unwrap();
        assert!(authenticator.asks_for_passwords());
        for (user, password, expected) in [
            ("anna", "correct horse", Login::Accepted),
            ("anna", "correct horse", Login::Accepted),
            ("anna", "correct horsE", Login::Refused),
            ("anna", "", Login::Refused),
            ("bert", "correct horse", Login::Refused),
            ("", "", Login::Refused),
        ] {
            assert_eq!(block_on(authenticator.login(user, password.as_bytes())), expected, "{user}/{password}");
        }
        let oversize = vec![b'x'; PASSWORD_BYTES_MAX + 1];
        assert_eq!(block_on(authenticator.login("anna", &oversize)), Login::Refused);
    }

    #[test]
    fn without_users_nobody_is_asked() {
        let authenticator = Authenticator::start([]).unwrap();
        assert!(!authenticator.asks_for_passwords());
        assert_eq!(block_on(authenticator.login("anyone", b"")), Login::Accepted);
    }

    #[test]
    fn hash_has_one_text_form_and_a_fresh_salt() {
        let hash = PasswordHash::of(b"secret").unwrap();
        assert_eq!(PasswordHash::parse(&hash.to_string()).unwrap(), hash);
        assert!(hash.to_string().starts_with("$argon2id$v=19$"), "{hash}");
        assert_ne!(PasswordHash::of(b"secret").unwrap(), hash);
    }

    #[test]
    fn what_is_no_hash_or_costs_too_much_is_refused() {
        let salt_and_hash = "c2FsdHNhbHRzYWx0c2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        for text in [
            "".to_owned(),
            "secret".to_owned(),
            "$argon2id$v=19$m=19456,t=2,p=1".to_owned(),
            format!("$argon2id$v=19$m=1048576,t=2,p=1${salt_and_hash}"),
            format!("$argon2id$v=19$m=19456,t=99,p=1${salt_and_hash}"),
            format!("$pbkdf2-sha256$i=1000${salt_and_hash}"),
        ] {
            assert!(PasswordHash::parse(&text).is_err(), "{text}");
        }
    }
}
