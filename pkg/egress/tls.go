package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"reflect"
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
		return failure(webhooksv1.Reason_REASON_CERTIFICATE, explainCertificate(invalid, time.Now()))
	}
	return failure(webhooksv1.Reason_REASON_TLS, explainHandshake(failed))
}

func explainHandshake(failed *dialError) string {
	if _, ok := errors.AsType[tls.RecordHeaderError](failed); ok {
		return "The receiver does not speak TLS on this port; check whether the URL should begin with http://."
	}
	if detail, ok := explainAlert(failed, failed.wanted); ok {
		return detail
	}
	switch {
	case failed.version != 0 && failed.version < tls.VersionTLS12:
		return tooOldDetail
	case failed.limit > 0:
		return "The receiver did not finish the TLS handshake within " + failed.limit.String() + "."
	case failed.wanted:
		return certWantDetail
	default:
		return "The TLS handshake with the receiver failed."
	}
}

// explainAlert says what an alert means with which the receiver, or crypto/tls here, ended TLS. Wanted says that the
// receiver had asked for a certificate.
func explainAlert(err error, wanted bool) (detail string, ok bool) {
	failed, ok := errors.AsType[*net.OpError](err)
	if !ok || (failed.Op != "remote error" && failed.Op != "local error") {
		return "", false
	}
	switch alert := alertOf(failed); {
	case alert == alertNoRenegotiation:
		return "The receiver asked for TLS renegotiation after the request, usually to get a client certificate; that is not supported.", true
	case failed.Op == "local error":
		return "The receiver does not keep to the rules of TLS.", true
	case alert == alertProtocolVersion:
		return tooOldDetail, true
	case alert == alertCertificateRequired, alert >= alertBadCertificate && alert <= alertCertificateUnknown, alert == alertUnknownCA,
		wanted && alert == alertHandshakeFailure:
		return certWantDetail, true
	case alert == alertHandshakeFailure, alert == alertInsufficientSecurity:
		return cipherDetail, true
	case alert == alertUnrecognizedName:
		return "The receiver does not serve the host name in the URL over TLS.", true
	case alert == alertNoProtocol:
		return "The receiver speaks neither HTTP/1.1 nor HTTP/2 over TLS.", true
	case alert == alertInternalError:
		return "The receiver reported a fault of its own during TLS.", true
	default:
		return "The receiver ended the TLS connection.", true
	}
}

// alertOf is the number of an alert, which crypto/tls keeps in a type of its own.
func alertOf(failed *net.OpError) uint64 {
	if alert := reflect.ValueOf(failed.Err); alert.Kind() == reflect.Uint8 {
		return alert.Uint()
	}
	return 0
}

func explainCertificate(invalid *tls.CertificateVerificationError, now time.Time) string {
	if _, ok := errors.AsType[x509.HostnameError](invalid); ok {
		return "The receiver's certificate is for another host name."
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](invalid); ok {
		return "The receiver's certificate is not signed by a known authority; it may be self-signed or lack its intermediate certificates."
	}
	why, ok := errors.AsType[x509.CertificateInvalidError](invalid)
	switch {
	case ok && why.Reason == x509.Expired && why.Cert != nil && now.Before(why.Cert.NotBefore):
		return "The receiver's certificate is not valid yet: it is from " + why.Cert.NotBefore.UTC().Format(time.DateTime) + " UTC."
	case ok && why.Reason == x509.Expired && why.Cert != nil:
		return "The receiver's certificate expired at " + why.Cert.NotAfter.UTC().Format(time.DateTime) + " UTC."
	case ok && why.Reason == x509.IncompatibleUsage:
		return "The receiver's certificate is not meant for servers."
	default:
		return "The receiver's certificate is not valid."
	}
}
