package words

import (
	"strings"
	"sync"
)

// Noted says in a language what was noted when an attempt was made: its detail, which
// is English. It has what the sentences of [Say] leave open, such as a limit that was
// passed, or that the request was sent once more. What is not in the table is left
// out: it says what [Say] says.
func Noted(detail string, in Language) string {
	var said []string
	for sentence := range strings.SplitAfterSeq(detail, ". ") {
		sentence = strings.TrimSpace(sentence)
		for _, row := range notes() {
			if !row.pattern.MatchString(sentence) {
				continue
			}
			if in == Dutch {
				sentence = translate([]translation{row}, sentence, func(value string) string { return value })
			}
			said = append(said, sentence)
			break
		}
	}
	return strings.Join(said, " ")
}

var notes = sync.OnceValue(func() []translation { //nolint:gochecknoglobals // never changed
	return compile(append(append(connectionNotes(), encryptionNotes()...), answerNotes()...))
})

// connectionNotes are about the way to the receiver, before anything was sent.
func connectionNotes() [][2]string {
	return [][2]string{
		{"The attempt could not be made because of a fault on our side.", "De poging kon niet worden gedaan door een fout aan onze kant."},
		{"Something went wrong on our side.", "Er ging aan onze kant iets mis."},
		{"The webhook's URL cannot be used: its host or port is not valid.", "Het adres van de webhook is onbruikbaar: de domeinnaam of de poort klopt niet."},
		{"The webhook's URL cannot be used: there is none.", "De webhook heeft geen adres."},
		{"The webhook's URL cannot be used: it must begin with http:// or https://.", "Het adres van de webhook is onbruikbaar: het moet met http:// of https:// beginnen."},
		{"The webhook's URL cannot be used: it must not contain a user name or password.", "Het adres van de webhook is onbruikbaar: er mag geen gebruikersnaam of wachtwoord in staan."},
		{"The webhook's URL cannot be used: it names no host.", "Het adres van de webhook is onbruikbaar: er staat geen domeinnaam in."},
		{"The webhook's URL cannot be used: its port must be between 1 and 65535.", "Het adres van de webhook is onbruikbaar: de poort moet tussen 1 en 65535 liggen."},
		{"The webhook's URL, format, secret or headers cannot be used.", "Het adres, het formaat, het geheim of de headers van de webhook zijn onbruikbaar."},
		{"The URL leads to an address to which webhooks are not sent.", "Naar dit adres worden geen webhooks verstuurd."},
		{"The host name in the URL does not exist.", "De domeinnaam in het adres bestaat niet."},
		{"The host name in the URL could not be looked up.", "De domeinnaam in het adres kon niet worden opgezocht."},
		{"The host name in the URL could not be looked up within {}.", "De domeinnaam in het adres kon niet binnen {1} worden opgezocht."},
		{"The receiver did not accept a connection within {}.", "De ontvanger nam niet binnen {1} een verbinding aan."},
		{"The receiver refused the connection.", "De ontvanger weigerde de verbinding."},
		{"The receiver has addresses of IPv6 only, which cannot be reached from here.", "De ontvanger heeft alleen IPv6-adressen, en die zijn vanaf hier niet bereikbaar."},
		{"The receiver could not be reached.", "De ontvanger was niet bereikbaar."},
	}
}

// encryptionNotes are about TLS.
func encryptionNotes() [][2]string {
	return [][2]string{
		{"The receiver did not finish the TLS handshake within {}.", "De ontvanger rondde de afspraken over versleuteling (TLS) niet binnen {1} af."},
		{"The TLS handshake with the receiver failed.", "De afspraken over versleuteling (TLS) met de ontvanger mislukten."},
		{"The receiver does not speak TLS on this port; check whether the URL should begin with http://.", "De ontvanger spreekt op deze poort geen TLS; controleer of het adres met http:// moet beginnen."},
		{"The receiver speaks no TLS newer than 1.1; TLS 1.2 or newer is needed.", "De ontvanger spreekt geen TLS nieuwer dan 1.1; nodig is TLS 1.2 of nieuwer."},
		{"The receiver wants a client certificate (mutual TLS), which is not supported.", "De ontvanger vraagt een clientcertificaat (mutual TLS), en dat wordt niet ondersteund."},
		{"The receiver has no cipher suite in common with us: TLS 1.3, or TLS 1.2 with ECDHE, is needed.", "De ontvanger heeft geen versleutelingsmethode met ons gemeen: nodig is TLS 1.3, of TLS 1.2 met ECDHE."},
		{
			"The receiver asked for TLS renegotiation after the request, usually to get a client certificate; that is not supported.",
			"De ontvanger vroeg na het verzoek om nieuwe afspraken over TLS, meestal om een clientcertificaat te krijgen; dat wordt niet ondersteund.",
		},
		{"The receiver does not keep to the rules of TLS.", "De ontvanger houdt zich niet aan de regels van TLS."},
		{"The receiver does not serve the host name in the URL over TLS.", "De ontvanger kent de domeinnaam in het adres niet via TLS."},
		{"The receiver speaks neither HTTP/1.1 nor HTTP/2 over TLS.", "De ontvanger spreekt via TLS geen HTTP/1.1 en geen HTTP/2."},
		{"The receiver reported a fault of its own during TLS.", "De ontvanger meldde een eigen fout tijdens TLS."},
		{"The receiver ended the TLS connection.", "De ontvanger beëindigde de TLS-verbinding."},
		{"The receiver's certificate is for another host name.", "Het certificaat van de ontvanger is voor een andere hostnaam."},
		{
			"The receiver's certificate is not signed by a known authority; it may be self-signed or lack its intermediate certificates.",
			"Het certificaat van de ontvanger is niet door een bekende instantie ondertekend; misschien is het zelfondertekend of ontbreken de tussenliggende certificaten.",
		},
		{"The receiver's certificate is not valid yet: it is from {} UTC.", "Het certificaat van de ontvanger is nog niet geldig: het geldt vanaf {1} UTC."},
		{"The receiver's certificate expired at {} UTC.", "Het certificaat van de ontvanger is verlopen op {1} UTC."},
		{"The receiver's certificate is not meant for servers.", "Het certificaat van de ontvanger is niet bedoeld voor servers."},
		{"The receiver's certificate is not valid.", "Het certificaat van de ontvanger is niet geldig."},
	}
}

// answerNotes are about the exchange itself.
func answerNotes() [][2]string {
	return [][2]string{
		{"The receiver did not take the whole request within {}.", "De ontvanger nam het verzoek niet binnen {1} helemaal aan."},
		{"The receiver did not answer within {}.", "De ontvanger antwoordde niet binnen {1}."},
		{"The receiver refused the request before it answered.", "De ontvanger weigerde het verzoek voordat die antwoordde."},
		{"The receiver closed the connection before it answered.", "De ontvanger sloot de verbinding voordat die antwoordde."},
		{
			"The receiver's answer is not valid HTTP, or its headers are larger than {} KiB.",
			"Het antwoord van de ontvanger is geen geldige HTTP, of de headers ervan zijn groter dan {1} KiB.",
		},
		{"The receiver answered {}, which does not answer a POST.", "De ontvanger antwoordde {1}, en dat is geen antwoord op een POST."},
		{"The receiver answered with the status {}, which ends no HTTP request.", "De ontvanger antwoordde met de status {1}, waarmee geen HTTP-verzoek eindigt."},
		{
			"The headers of the response are not valid HTTP or are too large; its status counts.",
			"De headers van het antwoord zijn geen geldige HTTP of zijn te groot; de status ervan telt.",
		},
		{
			"A connection that had been kept was of no use any more, so the request was sent once more over a new one.",
			"Een verbinding die openstond, was onbruikbaar geworden; daarom is het verzoek nog een keer verstuurd, over een nieuwe.",
		},
		{
			"The receiver asked for HTTP/1.1, so the request was sent once more over that.",
			"De ontvanger vroeg om HTTP/1.1; daarom is het verzoek nog een keer verstuurd, op die manier.",
		},
		{
			"The receiver had not begun with the request, so it was sent once more over a new connection.",
			"De ontvanger was niet met het verzoek begonnen; daarom is het nog een keer verstuurd, over een nieuwe verbinding.",
		},
	}
}
