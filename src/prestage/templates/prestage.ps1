# Sets up {{IMAGE}} revision {{REVISION}} as the first image of this computer.
#
# Run it as an administrator in the folder of the kit. It can be run again.
# The exit code is 0 if everything is in place and checked, and 1 after a failure, which is reported.

$ErrorActionPreference = 'Stop'

$Images = {{IMAGES}}
$Prestaged = {{PRESTAGED}}
$Index = '{{INDEX}}'
$Files = @(
{{FILES}}
)

# Administrators own the folders. They and SYSTEM have full access, Authenticated Users the listed rights.
$ImagesRights = '{{IMAGES_RIGHTS}}'
$PrestagedRights = '{{PRESTAGED_RIGHTS}}'

function Set-Rights($Folder, $Rights) {
    $List = New-Object Security.AccessControl.DirectorySecurity
    $List.SetSecurityDescriptorSddlForm($Rights)
    Set-Acl -Path ([Management.Automation.WildcardPattern]::Escape($Folder)) -AclObject $List
}

function Get-Digest($Path) {
    # Of the two classes that .NET has, this one also works if only approved cryptography is allowed.
    $Sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    $Stream = [IO.File]::OpenRead($Path)
    try {
        return [BitConverter]::ToString($Sha256.ComputeHash($Stream)).Replace('-', '')
    }
    finally {
        $Stream.Close()
    }
}

# Copies a file under another name, checks it, renames it and marks it read-only.
function Copy-Checked($File) {
    $Source = [IO.Path]::Combine($Kit, $File.Name)
    $Target = [IO.Path]::Combine($Prestaged, $File.Name)
    if ([IO.File]::Exists($Target) -and (Get-Digest $Target) -eq $File.Digest) {
        [IO.File]::SetAttributes($Target, 'ReadOnly')
        return
    }
    if ($Kit -eq $Prestaged) {
        throw "$($File.Name) is missing, or is not the file that was packed: its digest differs"
    }
    $Copy = "$Target.part"
    # An index tells the client that its image is there, so it is removed until the image is there.
    $OfTarget = [IO.Path]::Combine($Prestaged, $Index)
    if ($Index -and [IO.File]::Exists($OfTarget)) {
        [IO.File]::SetAttributes($OfTarget, 'Normal')
        [IO.File]::Delete($OfTarget)
    }
    foreach ($Old in $Copy, $Target) {
        if ([IO.File]::Exists($Old)) {
            [IO.File]::SetAttributes($Old, 'Normal')
        }
    }
    [IO.File]::Copy($Source, $Copy, $true)
    [IO.File]::SetAttributes($Copy, 'Normal')
    if ((Get-Digest $Copy) -ne $File.Digest) {
        [IO.File]::Delete($Copy)
        throw "the copy of $($File.Name) is not the file that was packed: its digest differs"
    }
    [IO.File]::Delete($Target)
    [IO.File]::Move($Copy, $Target)
    [IO.File]::SetAttributes($Target, 'ReadOnly')
}

$Step = 'the folders could not be created'
try {
    $Here = Split-Path -Parent $MyInvocation.MyCommand.Path
    $Kit = [IO.Path]::Combine($Here, 'MED-V Images\PrestagedImages')
    [void][IO.Directory]::CreateDirectory($Prestaged)

    $Step = 'the access rights of the folders could not be set; run this script as an administrator'
    Set-Rights $Images $ImagesRights
    Set-Rights $Prestaged $PrestagedRights

    # The index comes last.
    foreach ($File in $Files) {
        $Step = "$($File.Name) could not be put in place"
        Copy-Checked $File
    }

    # The registry value in which the client looks for them. The client is a 32-bit program.
    $Step = 'the registry value PrestagedImagesPath could not be set'
    $Key = 'HKEY_LOCAL_MACHINE\SOFTWARE\Kidaro'
    if ([IntPtr]::Size -eq 8) {
        $Key = 'HKEY_LOCAL_MACHINE\SOFTWARE\WOW6432Node\Kidaro'
    }
    [Microsoft.Win32.Registry]::SetValue($Key, 'PrestagedImagesPath', $Prestaged)
}
catch {
    Write-Host "prestage: FAILED: $Step. $($_.Exception.Message)"
    exit 1
}
Write-Output 'prestage: {{IMAGE}} revision {{REVISION}} is in place and checked. Install the client with'
Write-Output "    msiexec /i Client.msi VMSFOLDER=`"$Images`""
exit 0
