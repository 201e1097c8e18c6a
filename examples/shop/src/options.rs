use std::net::SocketAddr;
use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
Usage: shop [--backend URL] [--compress] [--encrypt FILE] [--tenants DOMAIN] [--metrics ADDRESS]
            [--listen ADDRESS] [--secure]

  --backend URL      where sessions are kept (default sqlite:shop.db): memory:, sqlite:FILE,
                     postgres://USER:PASSWORD@HOST/DATABASE, mysql://USER:PASSWORD@HOST/DATABASE,
                     file:FOLDER, cookie:?passphrase=WORDS, jwt:?key=BASE64URL
  --compress         stores sessions of 512 bytes and more with zstd
  --encrypt FILE     stores sessions encrypted; FILE has a key on each line (openssl rand -base64 32),
                     the first for what is written, all for what is read
  --tenants DOMAIN   a shop for each host below DOMAIN, in one store: with localhost,
                     http://acme.localhost:3000/ and http://globex.localhost:3000/
  --metrics ADDRESS  serves /metrics for Prometheus at that address and port
  --listen ADDRESS   address and port (default 127.0.0.1:3000)
  --secure           the cookie is __Host-id with Secure, for use behind TLS; needed for any
                     address but this machine's own";

pub(crate) struct Options {
    pub(crate) backend: String,
    pub(crate) compress: bool,
    pub(crate) encrypt: Option<PathBuf>,
    pub(crate) tenants: Option<String>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) listen: SocketAddr,
    pub(crate) secure: bool,
}

impl Options {
    /// `None` when help is asked for.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            backend: "sqlite:shop.db".to_owned(),
            compress: false,
            encrypt: None,
            tenants: None,
            metrics: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            secure: false,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let mut value = |what: &str| arguments.next().ok_or_else(|| format!("{what} needs a value"));
            match argument.as_str() {
                "--backend" => options.backend = value("--backend")?,
                "--compress" => options.compress = true,
                "--encrypt" => options.encrypt = Some(value("--encrypt")?.into()),
                "--tenants" => options.tenants = Some(value("--tenants")?),
                "--metrics" => options.metrics = Some(address(&value("--metrics")?)?),
                "--listen" => options.listen = address(&value("--listen")?)?,
                "--secure" => options.secure = true,
                "--help" | "-h" => return Ok(None),
                other => return Err(format!("unknown argument {other}")),
            }
        }
        if options.metrics.is_some_and(|metrics| !metrics.ip().is_loopback()) {
            return Err("metrics are for this machine: an address such as 127.0.0.1:9184".to_owned());
        }
        if !options.secure && !options.listen.ip().is_loopback() {
            return Err(format!(
                "{} can be reached from elsewhere, and over plain HTTP anybody on the way could read the cookie; \
                 give --secure and put a server that speaks TLS in front",
                options.listen
            ));
        }
        Ok(Some(options))
    }

    /// The backend's URL. Sealed sessions are bound to the name of their cookie, so it says which that is.
    pub(crate) fn backend_url(&self, cookie: &str) -> String {
        match self.backend.strip_prefix("cookie:") {
            Some(query) if !query.contains("name=") => format!("{}&name={cookie}", self.backend),
            _ => self.backend.clone(),
        }
    }

    /// Where sessions are kept, without a password; a file by its whole path.
    pub(crate) fn backend_for_people(&self) -> String {
        match self.backend.split(':').next() {
            Some("cookie") => return "the cookies of the browsers, sealed".to_owned(),
            Some("jwt") => return "the cookies of the browsers, signed: who has one can read it".to_owned(),
            _ => {}
        }
        // Behind the question mark there may be a password too.
        let url = self.backend.split('?').next().unwrap_or_default();
        if let Some((scheme, _)) = url.split_once("://")
            && let Some((_, place)) = url.rsplit_once('@')
        {
            return format!("{scheme}://…@{place}");
        }
        let (scheme, file) = url.split_once(':').unwrap_or_default();
        match (scheme, std::env::current_dir()) {
            ("sqlite" | "file", Ok(here)) if !file.is_empty() && !file.starts_with([':', '/']) => {
                format!("{scheme}:{}", here.join(file).display())
            }
            _ => url.to_owned(),
        }
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text} is no address with a port, such as 127.0.0.1:3000"))
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn parse(arguments: &[&str]) -> Result<Option<Options>, String> {
        Options::parse(arguments.iter().map(ToString::to_string))
    }

    // ST-44, ST-64
    #[test]
    fn plain_http_beyond_this_machine_is_refused() {
        assert!(parse(&["--listen", "0.0.0.0:80"]).is_err());
        assert!(parse(&["--listen", "0.0.0.0:80", "--secure"]).is_ok());
        assert!(parse(&["--listen", "[::1]:8080"]).is_ok());
        assert!(parse(&["--metrics", "0.0.0.0:9184", "--secure"]).is_err());
        assert!(parse(&["--listen"]).is_err() && parse(&["--nonsense"]).is_err());
        assert!(parse(&["--help"]).is_ok_and(|options| options.is_none()));
    }

    #[test]
    fn password_of_the_backend_is_not_shown() {
        let shown = |url: &str| parse(&["--backend", url]).unwrap().unwrap().backend_for_people();
        assert_eq!(shown("postgres://me:secret@host/db"), "postgres://…@host/db");
        assert_eq!(shown("mysql://me:se@cret@host/db?password=secret"), "mysql://…@host/db");
        assert!(!shown("postgres://host/db?user=me&password=secret").contains("secret"));
        assert!(!shown("cookie:?passphrase=secret").contains("secret"));
        assert!(!shown("jwt:?key=secret").contains("secret"));
        assert!(shown("file:sessions?durability=full").ends_with("/sessions"));
        assert!(
            shown("sqlite:shop.db").ends_with("/shop.db") && shown("sqlite:shop.db").starts_with("sqlite:/")
        );
    }
}
