// A receiver of dembrane webhooks that you can copy. .NET 8 or newer, nothing to install.
//
//   dotnet new web -o receiver && cp Receiver.cs receiver/Program.cs && cd receiver
//   WEBHOOK_SECRET='whsec_…' dotnet run --urls http://127.0.0.1:8000
//
// It verifies what arrives, writes it into a folder, answers, and only then works on
// it. The folder is what makes it safe: an event that has been answered is worked on
// even if this program is killed, and one that arrives twice is worked on once. With a
// database, a table with a unique column for the id does the same.
//
// Put a proxy that speaks TLS in front of it, and what you want to happen into Handle.
using System;
using System.IO;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using System.Threading;

const int MaxBodyBytes = 32 << 20;

// Your work. If it throws, it is tried again later; after a crash it may run twice.
void Handle(string json)
{
    using var document = JsonDocument.Parse(json);
    Console.WriteLine(document.RootElement.GetProperty("event") + " " + document.RootElement.GetProperty("id"));
}

var verifier = new Verifier(Environment.GetEnvironmentVariable("WEBHOOK_SECRET") ?? "");
var inbox = new Inbox(Environment.GetEnvironmentVariable("INBOX") ?? "inbox", Handle);
new Thread(inbox.Work) { IsBackground = true }.Start();

var builder = WebApplication.CreateBuilder(args);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = MaxBodyBytes);
var app = builder.Build();
app.MapPost("/{**path}", async (HttpRequest request) =>
{
    using var body = new MemoryStream();
    await request.Body.CopyToAsync(body);
    string id = request.Headers["webhook-id"].ToString();
    string fault = verifier.FaultOf(
        id, request.Headers["webhook-timestamp"].ToString(), request.Headers["webhook-signature"].ToString(), body.ToArray());
    if (fault != "")
    {
        return Results.Text(fault, statusCode: StatusCodes.Status401Unauthorized);
    }
    return Results.StatusCode(inbox.Keep(id, body.ToArray()) ? StatusCodes.Status202Accepted : StatusCodes.Status200OK);
});
app.Run();

// From here on nothing is of ASP.NET.
public sealed class Verifier
{
    private const long ToleranceSeconds = 5 * 60;
    private readonly byte[] key;

    public Verifier(string secret)
    {
        key = secret.StartsWith("whsec_", StringComparison.Ordinal)
            ? Convert.FromBase64String(secret.Substring("whsec_".Length))
            : Encoding.UTF8.GetBytes(secret);
        if (key.Length == 0)
        {
            throw new ArgumentException("set WEBHOOK_SECRET: without one, anybody can sign");
        }
    }

    /// <summary>What is wrong with a delivery, or "" when it is ours and fresh.</summary>
    public string FaultOf(string id, string timestamp, string signatures, byte[] body)
    {
        if (!Regex.IsMatch(id, @"\A[A-Za-z0-9_-]{1,64}\z") || !Regex.IsMatch(timestamp, @"\A[0-9]{1,12}\z"))
        {
            return "webhook-id or webhook-timestamp is missing or malformed";
        }
        byte[] prefix = Encoding.UTF8.GetBytes(id + "." + timestamp + ".");
        byte[] signed = new byte[prefix.Length + body.Length];
        prefix.CopyTo(signed, 0);
        body.CopyTo(signed, prefix.Length);
        byte[] expected;
        using (var hmac = new HMACSHA256(key))
        {
            expected = Encoding.UTF8.GetBytes("v1," + Convert.ToBase64String(hmac.ComputeHash(signed)));
        }
        // While a secret is being changed there are two signatures; one that fits is enough.
        bool matches = false;
        foreach (string signature in signatures.Split(' '))
        {
            matches |= CryptographicOperations.FixedTimeEquals(expected, Encoding.UTF8.GetBytes(signature));
        }
        if (!matches)
        {
            return "no signature matches";
        }
        long age = DateTimeOffset.UtcNow.ToUnixTimeSeconds() - long.Parse(timestamp);
        return Math.Abs(age) > ToleranceSeconds ? "webhook-timestamp is too far from this computer's clock" : "";
    }
}

public sealed class Inbox
{
    private static readonly TimeSpan Retry = TimeSpan.FromSeconds(10);
    private readonly object keeping = new object();
    private readonly AutoResetEvent arrived = new AutoResetEvent(true); // set: look at what was left
    private readonly string folder;
    private readonly string done; // an empty file for each event; delete those older than a month
    private readonly Action<string> handle;

    public Inbox(string folder, Action<string> handle)
    {
        this.folder = folder;
        this.handle = handle;
        done = Path.Combine(folder, "done");
        Directory.CreateDirectory(done);
    }

    /// <summary>Writes the event down, unless it is known.</summary>
    public bool Keep(string id, byte[] body)
    {
        string path = Path.Combine(folder, id + ".json");
        lock (keeping)
        {
            if (File.Exists(path) || File.Exists(Path.Combine(done, id)))
            {
                return false;
            }
            using (var part = new FileStream(path + ".part", FileMode.Create))
            {
                part.Write(body, 0, body.Length);
                part.Flush(true);
            }
            File.Move(path + ".part", path);
        }
        arrived.Set();
        return true;
    }

    public void Work()
    {
        while (true)
        {
            arrived.WaitOne(Retry);
            foreach (string path in Directory.GetFiles(folder, "*.json"))
            {
                try
                {
                    WorkOn(path);
                }
                catch (Exception fault) // one event must not stop the others
                {
                    Console.Error.WriteLine(path + ": " + fault);
                }
            }
        }
    }

    private void WorkOn(string path)
    {
        string mark = Path.Combine(done, Path.GetFileNameWithoutExtension(path));
        if (!File.Exists(mark))
        {
            handle(File.ReadAllText(path));
            File.Create(mark).Dispose();
        }
        File.Delete(path);
    }
}
