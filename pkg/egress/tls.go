package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math"
	"net"
	"strings"
	"time"

	"github.com/dembrane/webhooks/proto/webhooksv1"
)

// Alerts of TLS (RFC 8446, 6; RFC 5246, 7.2) that say what is missing.
const (
	alertHandshakeFailure     = 40
	alertBadCertificate       = 42
	alertCertificateUnknown   = 46
	alertUnknownCA            = 48
	alertProtocolVersion      = 70
	alertInsufficientSecurity = 71
	alertInternalError        = 80
	alertNoRenegotiation      = 100
	alertUnrecognizedName     = 112
	alertCertificateRequired  = 116
	alertNoProtocol           = 120
)

// textTooOld is what crypto/tls says of a receiver that chose a version below 1.2; only the text tells.
const textTooOld = "server selected unsupported protocol version"

const (
	tooOldDetail   = "The receiver speaks no TLS newer than 1.1; TLS 1.2 or newer is needed."
	certWantDetail = "The receiver wants a client certificate (mutual TLS), which is not supported."
	cipherDetail   = "The receiver has no cipher suite in common with us: TLS 1.3, or TLS 1.2 with ECDHE, is needed."
)

func explainTLS(failed *dialError) Result {
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](failed); ok {
		if _, ok := errors.AsType[x509.SystemRootsError](invalid); ok {
			return Result{Reason: webhooksv1.Reason_REASON_INTERNAL, Ours: true, Detail: internalDetail}
		}
		return explainCertificate(invalid, time.Now())
	}
	return explainHandshake(failed)
}

// handshake is a handshake that failed for a known cause.
func handshake(cause webhooksv1.Cause, detail string) Result {
	return failure(webhooksv1.Reason_REASON_TLS, detail).because(cause)
}

func explainHandshake(failed *dialError) Result {
	if _, ok := errors.AsType[tls.RecordHeaderError](failed); ok {
		return handshake(webhooksv1.Cause_CAUSE_TLS_NONE,
			"The receiver does not speak TLS on this port; check whether the URL should begin with http://.")
	}
	if why, ok := explainAlert(failed, failed.wanted); ok {
		return why
	}
	switch {
	case strings.Contains(failed.Error(), textTooOld):
		return handshake(webhooksv1.Cause_CAUSE_TLS_TOO_OLD, tooOldDetail)
	case failed.limit > 0:
		return handshake(0, "The receiver did not finish the TLS handshake within "+failed.limit.String()+".")
	case failed.wanted:
		return handshake(webhooksv1.Cause_CAUSE_TLS_CLIENT_CERTIFICATE, certWantDetail)
	default:
		return handshake(0, "The TLS handshake with the receiver failed.")
	}
}

// explainAlert says what an alert means with which the receiver, or crypto/tls here, ended TLS. Wanted says that the
// receiver had asked for a certificate.
func explainAlert(err error, wanted bool) (_ Result, ok bool) {
	failed, ok := errors.AsType[*net.OpError](err)
	if !ok || (failed.Op != "remote error" && failed.Op != "local error") {
		return Result{}, false
	}
	switch alert := alertOf(failed); {
	case alert == alertNoRenegotiation:
		return handshake(webhooksv1.Cause_CAUSE_TLS_RENEGOTIATION,
			"The receiver asked for TLS renegotiation after the request, usually to get a client certificate; that is not supported."), true
	case failed.Op == "local error":
		return handshake(0, "The receiver does not keep to the rules of TLS."), true
	case alert == alertProtocolVersion:
		return handshake(webhooksv1.Cause_CAUSE_TLS_TOO_OLD, tooOldDetail), true
	case alert == alertCertificateRequired, alert >= alertBadCertificate && alert <= alertCertificateUnknown, alert == alertUnknownCA,
		wanted && alert == alertHandshakeFailure:
		return handshake(webhooksv1.Cause_CAUSE_TLS_CLIENT_CERTIFICATE, certWantDetail), true
	case alert == alertHandshakeFailure, alert == alertInsufficientSecurity:
		return handshake(webhooksv1.Cause_CAUSE_TLS_CIPHERS, cipherDetail), true
	case alert == alertUnrecognizedName:
		return handshake(webhooksv1.Cause_CAUSE_TLS_NAME, "The receiver does not serve the host name in the URL over TLS."), true
	case alert == alertNoProtocol:
		return handshake(webhooksv1.Cause_CAUSE_TLS_NO_HTTP, "The receiver speaks neither HTTP/1.1 nor HTTP/2 over TLS."), true
	case alert == alertInternalError:
		return handshake(webhooksv1.Cause_CAUSE_TLS_RECEIVER, "The receiver reported a fault of its own during TLS."), true
	default:
		return handshake(0, "The receiver ended the TLS connection."), true
	}
}

// alertOf is an alert of TLS, which crypto/tls keeps in a type of its own that says the same as [tls.AlertError].
func alertOf(failed *net.OpError) tls.AlertError {
	for alert := range tls.AlertError(math.MaxUint8) {
		if alert.Error() == failed.Err.Error() {
			return alert
		}
	}
	return 0
}

func explainCertificate(invalid *tls.CertificateVerificationError, now time.Time) Result {
	because := func(cause webhooksv1.Cause, detail string) Result {
		return failure(webhooksv1.Reason_REASON_CERTIFICATE, detail).because(cause)
	}
	if _, ok := errors.AsType[x509.HostnameError](invalid); ok {
		return because(webhooksv1.Cause_CAUSE_CERTIFICATE_HOST, "The receiver's certificate is for another host name.")
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](invalid); ok {
		return because(webhooksv1.Cause_CAUSE_CERTIFICATE_AUTHORITY,
			"The receiver's certificate is not signed by a known authority; it may be self-signed or lack its intermediate certificates.")
	}
	why, ok := errors.AsType[x509.CertificateInvalidError](invalid)
	switch {
	case ok && why.Reason == x509.Expired && why.Cert != nil && now.Before(why.Cert.NotBefore):
		return because(webhooksv1.Cause_CAUSE_CERTIFICATE_EARLY,
			"The receiver's certificate is not valid yet: it is from "+why.Cert.NotBefore.UTC().Format(time.DateTime)+" UTC.")
	case ok && why.Reason == x509.Expired && why.Cert != nil:
		return because(webhooksv1.Cause_CAUSE_CERTIFICATE_EXPIRED,
			"The receiver's certificate expired at "+why.Cert.NotAfter.UTC().Format(time.DateTime)+" UTC.")
	case ok && why.Reason == x509.IncompatibleUsage:
		return because(webhooksv1.Cause_CAUSE_CERTIFICATE_USAGE, "The receiver's certificate is not meant for servers.")
	default:
		return because(0, "The receiver's certificate is not valid.")
	}
}
