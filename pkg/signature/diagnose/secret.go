package diagnose

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"
)

const standardPrefix = "whsec_"

// other is a secret as it may be at the webhook.
type other struct {
	text    string
	finding Finding
}

// secretsOf undoes what is usually done to a secret.
func secretsOf(secret string) []other {
	var secrets []other
	add := func(code Code, undone string) {
		if undone != "" && undone != secret {
			secrets = append(secrets, other{undone, found(code)})
		}
	}
	trimmed := strings.TrimSpace(secret)
	add(SecretBlanks, trimmed)
	add(SecretQuotes, strings.Trim(trimmed, `"'`+"`“”"))
	if line := regexp.MustCompile(`^(?:export )?[A-Za-z_][A-Za-z0-9_]*=(.+)$`).FindStringSubmatch(trimmed); line != nil {
		add(SecretLine, strings.Trim(line[1], `"'`))
	}
	// Before the prefix: with it, base64 of the secret fits webhook-signature, too.
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawURLEncoding} {
		if decoded, err := encoding.DecodeString(trimmed); err == nil && utf8.Valid(decoded) {
			add(SecretBase64, strings.TrimRight(string(decoded), "\n"))
		}
	}
	if rest, prefixed := strings.CutPrefix(trimmed, standardPrefix); prefixed {
		add(PrefixAdded, rest)
		add(SecretURLSafe, standardPrefix+strings.NewReplacer("-", "+", "_", "/").Replace(rest))
		if decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(rest, "=")); err == nil && utf8.Valid(decoded) {
			add(PrefixAdded, string(decoded))
		}
	} else {
		add(PrefixCut, standardPrefix+trimmed)
		add(SecretURLSafe, strings.NewReplacer("-", "+", "_", "/").Replace(trimmed))
	}
	if decoded, err := hex.DecodeString(trimmed); err == nil {
		add(SecretHex, string(decoded))
	}
	if decoded, err := url.PathUnescape(trimmed); err == nil {
		add(SecretEscaped, decoded)
	}
	return secrets
}
