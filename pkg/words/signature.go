package words

import (
	"strings"
	"sync"
)

// Signature says in another language what package signature/diagnose says in English
// about a delivery: its messages and its advice. What is not in the table stays as it
// is; a test holds the two packages against each other.
func Signature(english string, in Language) string {
	if in != Dutch {
		return english
	}
	return translate(signatures(), english, signatureValue)
}

// signatureValue is what a sentence is filled with: a span of time, the differences
// between two bodies, or a name that stays as it is.
func signatureValue(english string) string {
	parts := strings.Split(english, "; ")
	for i, part := range parts {
		parts[i] = translate(signatures(), part, func(value string) string { return value })
	}
	return strings.Join(parts, "; ")
}

var signatures = sync.OnceValue(func() []translation { //nolint:gochecknoglobals // never changed
	return compile(append(append(signatureStates(), signatureValues()...),
		append(append(signatureBodies(), signatureSecrets()...), signatureHeaders()...)...))
})

func signatureValues() [][2]string {
	return [][2]string{
		{"1 day", "1 dag"},
		{"{} days", "{1} dagen"},
		{"1 hour", "1 uur"},
		{"{} hours", "{1} uur"},
		{"1 minute", "1 minuut"},
		{"{} minutes", "{1} minuten"},
		{"1 second", "1 seconde"},
		{"{} seconds", "{1} seconden"},
		{"there are blanks between its parts", "er staan spaties tussen de delen"},
		{"its keys are in another order", "de sleutels staan in een andere volgorde"},
		{`letters like é are written as they are, not as \u00e9`, `letters als é staan er zoals ze zijn, niet als \u00e9`},
		{`slashes are escaped as \/`, `schuine strepen staan er als \/`},
		{`<, > or & is escaped as \u003c and the like`, `<, > of & staat er als \u003c en dergelijke`},
		{"its characters are escaped in another way", "de tekens zijn op een andere manier geschreven"},
	}
}

// signatureStates are about each header.
func signatureStates() [][2]string {
	return [][2]string{
		{"The header is not there.", "De header ontbreekt."},
		{"It is the signature of this body by this secret.", "Het is de handtekening van deze inhoud met dit geheim."},
		{"It does not look as it was sent: 64 lower-case hex digits.", "Hij ziet er niet uit zoals verzonden: 64 hexadecimale tekens in kleine letters."},
		{"It does not look as it was sent: 64 lower-case hex digits behind sha256=.", "Hij ziet er niet uit zoals verzonden: 64 hexadecimale tekens in kleine letters achter sha256=."},
		{"It is the signature of another body, or by another secret.", "Het is de handtekening van een andere inhoud, of met een ander geheim."},
		{"webhook-id, webhook-timestamp or webhook-signature is not there.", "webhook-id, webhook-timestamp of webhook-signature ontbreekt."},
		{"webhook-timestamp is no number of seconds.", "webhook-timestamp is geen aantal seconden."},
		{"It is the signature of another id, time or body, or by another secret.", "Het is de handtekening van een ander id, een andere tijd of inhoud, of met een ander geheim."},
		{"It does not look as it was sent: v1, and base64.", "Hij ziet er niet uit zoals verzonden: v1, en base64."},
		{"It matches, and is too old: libraries refuse it.", "Hij klopt, maar is te oud: bibliotheken weigeren hem."},
		{"It matches, and comes from the future: libraries refuse it.", "Hij klopt, maar komt uit de toekomst: bibliotheken weigeren hem."},
		{"It is the signature of this id, time and body by this secret.", "Het is de handtekening van dit id, deze tijd en deze inhoud met dit geheim."},
		{"There is no secret to verify with.", "Er is geen geheim om mee te controleren."},
		{"Pass the webhook's secret. Without one nothing can be trusted.", "Geef het geheim van de webhook op. Zonder geheim is niets te vertrouwen."},
		{"None of the signature headers is there.", "Geen van de headers met een handtekening is er."},
		{
			"Either the webhook has no secret (set one), or a proxy or the framework dropped the headers: look at what arrives first.",
			"De webhook heeft geen geheim (stel er een in), of een proxy of het framework liet de headers weg: kijk wat er het eerst binnenkomt.",
		},
		{
			"No usual mistake explains it: most likely the delivery was signed with another secret, or its body was changed on the way.",
			"Geen gebruikelijke fout verklaart het: waarschijnlijk is de bezorging met een ander geheim ondertekend, of is de inhoud onderweg veranderd.",
		},
		{
			"Check that the secret is the one of this very webhook (X-Dembrane-Delivery leads to it in the delivery log). When in doubt rotate the secret, send a test, and compare again.",
			"Controleer of het geheim echt van deze webhook is (met X-Dembrane-Delivery vindt u die in het logboek). Vervang bij twijfel het geheim, verstuur een test en vergelijk opnieuw.",
		},
	}
}

func signatureBodies() [][2]string {
	return [][2]string{
		{"The body ends in a line break that was not sent.", "De inhoud eindigt op een regeleinde dat niet is verzonden."},
		{
			"Read the body as bytes, not line by line; an editor, `echo` or a shell's here-document adds one, too.",
			"Lees de inhoud als bytes, niet per regel; ook een editor, `echo` of een here-document in de shell voegt er een toe.",
		},
		{"There are blanks or line breaks around the body that were not sent.", "Rond de inhoud staan spaties of regeleinden die niet zijn verzonden."},
		{
			"Compute the signature of the bytes as they came over the network, before anything parses or changes them: the programs in docs/receivers show how.",
			"Bereken de handtekening van de bytes zoals ze over het netwerk kwamen, voordat iets ze leest of verandert: de programma's in docs/receivers laten zien hoe.",
		},
		{"The body begins with a byte order mark that was not sent.", "De inhoud begint met een byte order mark die niet is verzonden."},
		{"Save and read it as UTF-8 without a byte order mark.", "Bewaar en lees hem als UTF-8 zonder byte order mark."},
		{"The body was parsed and written anew: {}.", "De inhoud is gelezen en opnieuw geschreven: {1}."},
		{"The body is a JSON string with the real body in it: it was encoded once too often.", "De inhoud is een JSON-tekst met de echte inhoud erin: hij is een keer te veel gecodeerd."},
		{"The body is base64 of the real body.", "De inhoud is base64 van de echte inhoud."},
		{"Decode it first. API Gateway and Lambda say so with isBase64Encoded.", "Decodeer hem eerst. API Gateway en Lambda melden dat met isBase64Encoded."},
		{"Quotes and other characters of the body are escaped as HTML.", "Aanhalingstekens en andere tekens in de inhoud zijn als HTML geschreven."},
		{"Do not take the body out of a web page: use the bytes that arrived.", "Haal de inhoud niet uit een webpagina: gebruik de bytes die binnenkwamen."},
		{"The body is empty.", "De inhoud is leeg."},
		{
			"Most often the framework has read it already: keep the raw bytes before it parses them.",
			"Meestal heeft het framework hem al gelezen: bewaar de ruwe bytes voordat het ze verwerkt.",
		},
		{"The body breaks off after {} bytes: it is no complete JSON.", "De inhoud breekt af na {1} bytes: het is geen volledige JSON."},
		{
			"Raise the limit of your server or proxy for request bodies: an event can have several megabytes.",
			"Verhoog de limiet van uw server of proxy voor de inhoud van verzoeken: een gebeurtenis kan meerdere megabytes groot zijn.",
		},
		{"The body is not JSON, so it is not what was sent.", "De inhoud is geen JSON, dus niet wat is verzonden."},
	}
}

func signatureSecrets() [][2]string {
	return [][2]string{
		{"The secret has blanks or a line break around it.", "Rond het geheim staan spaties of een regeleinde."},
		{"Remove them: files and environment variables often bring one along.", "Haal ze weg: bestanden en omgevingsvariabelen brengen er vaak een mee."},
		{"The secret has quotation marks around it that do not belong to it.", "Rond het geheim staan aanhalingstekens die er niet bij horen."},
		{"Remove them where it is set.", "Haal ze weg waar het wordt ingesteld."},
		{"The secret is a whole line NAME=value.", "Het geheim is een hele regel NAAM=waarde."},
		{"Pass what is after the equals sign alone.", "Geef alleen op wat achter het isgelijkteken staat."},
		{"The secret lacks its beginning, whsec_.", "Het begin van het geheim ontbreekt: whsec_."},
		{
			"The prefix belongs to the secret: leave it there for X-Dembrane-Signature. The Standard Webhooks libraries remove it by themselves.",
			"Het voorvoegsel hoort bij het geheim: laat het staan voor X-Dembrane-Signature. De bibliotheken van Standard Webhooks halen het zelf weg.",
		},
		{"The secret has whsec_ in front, and the webhook's has not.", "Voor het geheim staat whsec_, en bij de webhook niet."},
		{
			"Pass it without. For a Standard Webhooks library, pass the raw bytes: docs/receiving.md says how.",
			"Geef het zonder op. Geef een bibliotheek van Standard Webhooks de ruwe bytes: docs/receiving.md zegt hoe.",
		},
		{"The secret is base64 of the webhook's secret.", "Het geheim is base64 van het geheim van de webhook."},
		{"Decode it before use: Kubernetes shows secrets so, for example.", "Decodeer het voor gebruik: Kubernetes bijvoorbeeld toont geheimen zo."},
		{"The secret is written in hex.", "Het geheim is hexadecimaal geschreven."},
		{"Pass its text, not the hex of it.", "Geef de tekst op, niet het hexadecimale ervan."},
		{"The secret is percent-encoded.", "Het geheim is met procenttekens gecodeerd."},
		{"Decode it before use: it went through a URL.", "Decodeer het voor gebruik: het ging door een URL."},
		{"The secret has - and _ where the webhook's has + and /.", "Het geheim heeft - en _ waar dat van de webhook + en / heeft."},
		{
			"Copy the secret once more, or give the webhook a new one, and pass it on unchanged.",
			"Kopieer het geheim opnieuw of geef de webhook een nieuw, en geef het onveranderd door.",
		},
		{
			"This is the older secret of a webhook whose secret was rotated: it verifies webhook-signature for now, and X-Dembrane-Signature no more.",
			"Dit is het oude geheim van een webhook waarvan het geheim is vervangen: webhook-signature klopt er voorlopig nog mee, X-Dembrane-Signature niet meer.",
		},
		{"Take the new secret before the overlap ends.", "Neem het nieuwe geheim voordat de overgangstijd voorbij is."},
	}
}

func signatureHeaders() [][2]string {
	const leave = "Laat de header zoals hij binnenkwam."
	return [][2]string{
		{"{} lacks its sha256= in front.", "Voor {1} ontbreekt sha256=."},
		{"Compare with the whole value, or remove the prefix on both sides.", "Vergelijk met de hele waarde, of haal het voorvoegsel aan beide kanten weg."},
		{"{} has sha256= in front, which is how X-Webhook-Signature looks.", "Voor {1} staat sha256=, en zo ziet X-Webhook-Signature eruit."},
		{"Compare X-Dembrane-Signature with the hex alone.", "Vergelijk X-Dembrane-Signature alleen met de hexadecimale tekens."},
		{"{} is in base64, and it is sent in hex.", "{1} is in base64 en wordt hexadecimaal verzonden."},
		{"Compare hex with hex: something between has rewritten the header.", "Vergelijk hexadecimaal met hexadecimaal: iets onderweg heeft de header herschreven."},
		{"{} is in hex, and it is sent as v1, and base64.", "{1} is hexadecimaal en wordt als v1, en base64 verzonden."},
		{"Compare base64 with base64: something between has rewritten the header.", "Vergelijk base64 met base64: iets onderweg heeft de header herschreven."},
		{"{} is in capitals, and it is sent in lower case.", "{1} is in hoofdletters en wordt in kleine letters verzonden."},
		{"Compare without regard to case, or leave the header as it is.", "Vergelijk zonder op hoofdletters te letten, of laat de header zoals hij is."},
		{"There are blanks or quotation marks around the value of {}.", "Rond de waarde van {1} staan spaties of aanhalingstekens."},
		{"Remove them: they are not part of the header.", "Haal ze weg: ze horen niet bij de header."},
		{"{} lacks its v1, in front.", "Voor {1} ontbreekt v1,."},
		{"Leave the header as it came: the libraries expect it.", "Laat de header zoals hij binnenkwam: de bibliotheken verwachten dat."},
		{"The signatures in {} are joined with commas; they are sent with a blank between them.", "De handtekeningen in {1} zijn met komma's aan elkaar gezet; ze worden met een spatie ertussen verzonden."},
		{"Leave the header as it came: a proxy or framework has joined it.", leave + " Een proxy of framework heeft ze samengevoegd."},
		{"webhook-timestamp is in milliseconds, and it is sent in seconds.", "webhook-timestamp is in milliseconden en wordt in seconden verzonden."},
		{"Leave the header as it came.", leave},
		{
			"It was signed at {}, which is {} before the time it is checked at; the libraries take up to {}.",
			"Het tijdstip van ondertekenen is {1}, {2} voor het moment van controle; de bibliotheken aanvaarden hooguit {3}.",
		},
		{
			"For a delivery that was saved this is as it should be. If it has just arrived, the receiver's clock is fast, or somebody sends an old delivery again.",
			"Bij een bewaarde bezorging hoort dat zo. Is ze net binnengekomen, dan loopt de klok van de ontvanger voor, of iemand stuurt een oude bezorging opnieuw.",
		},
		{
			"It was signed at {}, which is {} after the time it is checked at; the libraries take up to {}.",
			"Het tijdstip van ondertekenen is {1}, {2} na het moment van controle; de bibliotheken aanvaarden hooguit {3}.",
		},
		{"The receiver's clock is slow: let it be set by NTP.", "De klok van de ontvanger loopt achter: laat hem met NTP gelijkzetten."},
		{
			"webhook-signature does not fit, and the others do: webhook-id, webhook-timestamp or the signature itself was changed.",
			"webhook-signature klopt niet en de andere wel: webhook-id, webhook-timestamp of de handtekening zelf is veranderd.",
		},
		{
			"Take all three headers from the same attempt: each has a time and a signature of its own.",
			"Neem alle drie de headers van dezelfde poging: elke poging heeft een eigen tijd en handtekening.",
		},
		{"{} does not fit, and webhook-signature does: that header was changed.", "{1} klopt niet en webhook-signature wel: die header is veranderd."},
		{
			"{} is not whole, or something else was put in its place, so there is nothing to compare with.",
			"{1} is niet volledig, of er is iets anders voor in de plaats gezet, dus er is niets om mee te vergelijken.",
		},
		{
			"Save the headers once more, with their whole values: logs often cut them.",
			"Bewaar de headers opnieuw, met hun volledige waarden: logboeken korten ze vaak in.",
		},
		{"Take all headers from the same attempt.", "Neem alle headers van dezelfde poging."},
		{
			"webhook-id, webhook-timestamp or webhook-signature is missing, so an old delivery that is sent again cannot be told.",
			"webhook-id, webhook-timestamp of webhook-signature ontbreekt, dus een oude bezorging die opnieuw wordt gestuurd, is niet te herkennen.",
		},
		{"Let all headers through to the receiver.", "Laat alle headers door naar de ontvanger."},
	}
}
